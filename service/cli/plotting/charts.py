"""The picture of an evaluation: one row a strategy, one panel a question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.evaluation import Evaluation
from service.cli.plotting import pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer

SIZE_INCHES = (10.0, 5.0)
DOTS_PER_INCH = 150
BAR = 0.38
DARK, LIGHT, GREEN, GREY = "#2b5c8a", "#8fb8dc", "#6a9a78", "#9a9a9a"


def draw(path: Path, evaluation: Evaluation) -> None:
    """Writes the picture as a PNG.

    Raises:
        CannotDraw: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to load)

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    people, items = evaluation.people, evaluation.items
    figure.suptitle(f"Recommendations for {people:,} people from {items:,} items")
    quality, coverage, latency = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
    strategies = evaluation.strategies
    rows = range(len(strategies))
    bars = [
        quality.barh(
            [row + shift for row in rows],
            [getattr(each, name) for each in strategies],
            BAR,
            label=label,
            color=color,
        )
        for shift, name, label, color in (
            (-BAR / 2, "recall_at_20", "recall@20", DARK),
            (BAR / 2, "ndcg_at_20", "nDCG@20", LIGHT),
        )
    ]
    _finish(quality, "quality, higher is better", "{:.4f}", bars)
    quality.set_yticks(rows, [each.strategy for each in strategies])
    quality.invert_yaxis()
    quality.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False)
    widths = [100 * each.coverage_at_10 for each in strategies]
    shares = coverage.barh(rows, widths, 2 * BAR, color=GREEN)
    _finish(coverage, "items in a top 10", "{:.1f}%", [shares])
    times = latency.barh(rows, [each.p95_ms for each in strategies], 2 * BAR, color=GREY)
    _finish(latency, "time of a call, p95", "{:.1f} ms", [times])
    pictures.write(path, figure)


def _finish(axes: Axes, title: str, form: str, bars: Sequence[BarContainer]) -> None:
    """The values stand on the bars, so that no axis need tell them."""
    for each in bars:
        axes.bar_label(each, fmt=form, padding=3)
    axes.set_title(title, fontsize="medium", loc="left")
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
