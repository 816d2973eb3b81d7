"""Chart of an evaluation: strategies, and people and items of which little is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.analysis_output import format_count
from service.cli.evaluation_metrics import COVERAGE_TOP, TOP, Interval
from service.cli.evaluation_results import ColdItems, ColdPeople, Evaluation, StrategyMetrics
from service.cli.plotting import report_missing_glyphs, save_figure
from service.domain.printable import to_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

# 1,500 by 750 pixels, and 1,350 with people and items of which little is known.
CHART_INCHES = (10.0, 5.0)
CHART_INCHES_WITH_COLD = (10.0, 9.0)
CHART_DOTS_PER_INCH = 150

# Height of a bar, in rows: two bars and a gap fill a row.
BAR_HEIGHT = 0.38

DARK_COLORS = ("#2b5c8a", "#8fb8dc")
GREEN_COLORS = ("#6a9a78", "#c2a35d")
LATENCY_COLOR, ERROR_COLOR = "#9a9a9a", "#444444"
BAND_ALPHA = 0.2

NOTES = (
    "pooled, nearest and mean rank by text alone; behavior ranks by likes first; auto is the "
    "default of a server\nlines on bars and shaded areas are 95% intervals"
)


def draw_chart(path: Path, evaluation: Evaluation) -> None:
    """Write the chart of an evaluation as a PNG file.

    Raises:
        PlotError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to import)

    has_cold = bool(evaluation.cold_people and evaluation.cold_items)
    inches = CHART_INCHES_WITH_COLD if has_cold else CHART_INCHES
    figure = Figure(figsize=inches, dpi=CHART_DOTS_PER_INCH, layout="constrained")
    people = format_count(evaluation.people, "person", "people")
    items = format_count(evaluation.items, "item")
    figure.suptitle(f"Recommendations for {people} from {items}\n{NOTES}", fontsize="medium")
    ratios = (5, 4) if has_cold else (1,)
    parts = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    _draw_strategies(parts[0], evaluation.strategies)
    if has_cold:
        _draw_cold(parts[1], evaluation.cold_people, evaluation.cold_items)
    with report_missing_glyphs():
        save_figure(path, figure)


def _draw_strategies(figure: SubFigure, strategies: Sequence[StrategyMetrics]) -> None:
    quality, variety, latency = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1.2, 1))
    _draw_bars(
        quality,
        {
            f"recall@{TOP}": [metrics.recall_at_20 for metrics in strategies],
            f"nDCG@{TOP}": [metrics.ndcg_at_20 for metrics in strategies],
        },
        DARK_COLORS,
        "{:.3f}",
        [
            [metrics.recall_at_20_interval for metrics in strategies],
            [metrics.ndcg_at_20_interval for metrics in strategies],
        ],
    )
    quality.set_title("quality\n(longer is better)", fontsize="medium", loc="left")
    _name_rows(quality, [metrics.strategy for metrics in strategies])
    _draw_bars(
        variety,
        {
            f"share of all items in anybody's top {COVERAGE_TOP}": [
                100 * metrics.coverage_at_10 for metrics in strategies
            ],
            f"share of popular items in a top {COVERAGE_TOP}": [
                100 * metrics.popular_at_10 for metrics in strategies
            ],
        },
        GREEN_COLORS,
        "{:.0f}%",
    )
    variety.set_title("variety and popularity\n", fontsize="medium", loc="left")
    _draw_bars(
        latency,
        {"": [metrics.p95_ms for metrics in strategies]},
        [LATENCY_COLOR],
        "{:.1f} ms",
    )
    latency.set_title("latency, p95\n(shorter is better)", fontsize="medium", loc="left")


def _draw_cold(figure: SubFigure, people: Sequence[ColdPeople], items: Sequence[ColdItems]) -> None:
    likes_axes, items_axes = figure.subplots(1, 2)
    for name, color in zip(("text", "auto"), DARK_COLORS[::-1], strict=True):
        rows = sorted(
            (row for row in people if row.strategy == name and row.likes),
            key=lambda row: row.likes,
        )
        counts = [row.likes for row in rows]
        recalls = [row.recall_at_20 for row in rows]
        likes_axes.plot(counts, [recall.mean for recall in recalls], "o-", color=color, label=name)
        lows, highs = [recall.low for recall in recalls], [recall.high for recall in recalls]
        likes_axes.fill_between(counts, lows, highs, color=color, alpha=BAND_ALPHA)
        likes_axes.set_xticks(counts)
    popular = next(row.recall_at_20.mean for row in people if row.strategy == "popular")
    likes_axes.axhline(popular, color=LATENCY_COLOR, linestyle="--", label="popular items")
    likes_axes.set_ylim(bottom=0)
    likes_axes.set_xlabel("known likes of a person")
    likes_axes.set_ylabel(f"recall@{TOP}")
    likes_axes.set_title("people with few likes (higher is better)", fontsize="medium", loc="left")
    likes_axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
    likes_axes.spines[["top", "right"]].set_visible(False)
    of_new, of_all = [row.recall_of_new for row in items], [row.recall_at_20 for row in items]
    _draw_bars(
        items_axes,
        {
            f"recall@{TOP} of all items": [recall.mean for recall in of_all],
            f"recall@{TOP} of new items": [recall.mean for recall in of_new],
        },
        DARK_COLORS,
        "{:.3f}",
        [[Interval(recall.low, recall.high) for recall in recalls] for recalls in (of_all, of_new)],
    )
    _name_rows(items_axes, [row.strategy for row in items])
    items_axes.set_title("if some items are new (longer is better)", fontsize="medium", loc="left")


def _draw_bars(
    axes: Axes,
    values: dict[str, list[float]],
    colors: Sequence[str],
    label_format: str,
    intervals: Sequence[Sequence[Interval]] = (),
) -> None:
    """Draw one or two bars in each row, with their values, which makes a value axis unnecessary.

    Args:
        axes: where to draw.
        values: of the bars, by what they mean; an empty meaning has no legend.
        colors: of the bars in a row.
        label_format: of the values.
        intervals: of each kind of bars, if they have any.
    """
    height = 2 * BAR_HEIGHT / len(values)
    for place, (meaning, lengths) in enumerate(values.items()):
        shift = (place - (len(values) - 1) / 2) * height
        errors = _list_errors(lengths, intervals[place]) if intervals else None
        bars = axes.barh(
            [row + shift for row in range(len(lengths))],
            lengths,
            height,
            label=meaning,
            color=colors[place],
            xerr=errors,
            ecolor=ERROR_COLOR,
        )
        axes.bar_label(bars, fmt=label_format, padding=3)
    axes.margins(x=0.3)
    axes.set_xlim(left=0)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    if "" not in values:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [to_line(name) for name in names], parse_math=False)
    axes.invert_yaxis()


def _list_errors(
    lengths: Sequence[float], intervals: Sequence[Interval]
) -> tuple[list[float], list[float]]:
    """Return how far the intervals reach to the left and to the right of the values."""
    pairs = list(zip(lengths, intervals, strict=True))
    # The mean of few people can lie at an end of its interval.
    left = [max(length - interval.low, 0.0) for length, interval in pairs]
    right = [max(interval.high - length, 0.0) for length, interval in pairs]
    return left, right
