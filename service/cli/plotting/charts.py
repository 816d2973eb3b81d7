"""Chart of an evaluation: one row for each strategy, one panel for each metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.evaluation_results import Evaluation
from service.cli.plotting import report_missing_glyphs, save_figure
from service.domain.printable import to_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer

# 1,500 by 750 pixels.
CHART_INCHES = (10.0, 5.0)
CHART_DOTS_PER_INCH = 150

# Height of a bar, in rows: two bars and a gap fill a row.
BAR_HEIGHT = 0.38

RECALL_COLOR, NDCG_COLOR, COVERAGE_COLOR, LATENCY_COLOR = "#2b5c8a", "#8fb8dc", "#6a9a78", "#9a9a9a"


def draw_chart(path: Path, evaluation: Evaluation) -> None:
    """Write the chart of an evaluation as a PNG file.

    Raises:
        PlotError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to import)

    figure = Figure(figsize=CHART_INCHES, dpi=CHART_DOTS_PER_INCH, layout="constrained")
    people, items = evaluation.people, evaluation.items
    figure.suptitle(f"Recommendations for {people:,} people from {items:,} items")
    quality, coverage, latency = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
    strategies = evaluation.strategies
    rows = range(len(strategies))
    quality_bars = [
        quality.barh(
            [row + shift for row in rows],
            [getattr(metrics, name) for metrics in strategies],
            BAR_HEIGHT,
            label=label,
            color=color,
        )
        for shift, name, label, color in (
            (-BAR_HEIGHT / 2, "recall_at_20", "recall@20", RECALL_COLOR),
            (BAR_HEIGHT / 2, "ndcg_at_20", "nDCG@20", NDCG_COLOR),
        )
    ]
    _finish(quality, "quality (higher is better)", "{:.4f}", quality_bars)
    names = [to_line(metrics.strategy) for metrics in strategies]
    quality.set_yticks(rows, names, parse_math=False)
    quality.invert_yaxis()
    quality.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False)
    percentages = [100 * metrics.coverage_at_10 for metrics in strategies]
    coverage_bars = coverage.barh(rows, percentages, 2 * BAR_HEIGHT, color=COVERAGE_COLOR)
    _finish(coverage, "coverage@10", "{:.1f}%", [coverage_bars])
    latencies = [metrics.p95_ms for metrics in strategies]
    latency_bars = latency.barh(rows, latencies, 2 * BAR_HEIGHT, color=LATENCY_COLOR)
    _finish(latency, "latency, p95", "{:.1f} ms", [latency_bars])
    with report_missing_glyphs():
        save_figure(path, figure)


def _finish(axes: Axes, title: str, label_format: str, bars: Sequence[BarContainer]) -> None:
    """Label the bars with their values, which makes a value axis unnecessary."""
    for container in bars:
        axes.bar_label(container, fmt=label_format, padding=3)
    axes.set_title(title, fontsize="medium", loc="left")
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
