"""Chart of an evaluation: strategies, and people and items of which little is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from service.cli.analysis_output import format_count
from service.cli.evaluation_metrics import COVERAGE_TOP, TOP, Interval
from service.cli.evaluation_results import (
    ColdItems,
    ColdPeople,
    Evaluation,
    Quality,
    StrategyMetrics,
)
from service.cli.plotting import report_missing_glyphs, save_figure
from service.cli.plotting.hover import Hover
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
    f"A part of each person's likes was hidden. From the rest, {TOP} items were recommended. "
    "Bars and dots are means over people.\n"
    "Lines on bars and shaded areas are 95% intervals: differences within them can be chance."
)

RECALL_MEANING = f"recall@{TOP}: share of the hidden\nlikes that were recommended"
NDCG_MEANING = f"nDCG@{TOP}: the same, but\nearly places count more"
COVERAGE_MEANING = f"share of all items\nin anybody's top {COVERAGE_TOP}"
POPULAR_MEANING = f"share of popular items\nin a top {COVERAGE_TOP}"
LATENCY_MEANING = "95% of calls take\nat most this time"

# What each strategy ranks by, below its name.
DESCRIPTIONS = {
    "pooled": "text",
    "nearest": "text",
    "mean": "text",
    "auto": "text and likes, default",
    "behavior": "likes first",
    "popular": "most liked items",
}


class Bars(NamedTuple):
    """The bars of a part of the chart.

    Attributes:
        values: of the bars of all rows, by what they mean.
        colors: of the bars in a row.
        label_format: of the values.
        intervals: of each kind of bars, if they have any.
    """

    values: Mapping[str, Sequence[float]]
    colors: Sequence[str]
    label_format: str
    intervals: Sequence[Sequence[Interval]] = ()


def draw_chart(path: Path, evaluation: Evaluation) -> None:
    """Write the chart of an evaluation as a file, in the format that its ending names.

    Raises:
        PlotError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to import)

    has_cold = bool(evaluation.cold_people and evaluation.cold_items)
    inches = CHART_INCHES_WITH_COLD if has_cold else CHART_INCHES
    figure = Figure(figsize=inches, dpi=CHART_DOTS_PER_INCH, layout="constrained")
    people = format_count(evaluation.people, "person", "people")
    items = format_count(evaluation.items, "item")
    title = f"How well do recommendations predict what people like? {people}, {items}"
    figure.suptitle(f"{title}\n{NOTES}", fontsize="medium")
    hover = Hover()
    ratios = (5, 4) if has_cold else (1,)
    parts = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    _draw_strategies(parts[0], evaluation.strategies, hover)
    if has_cold:
        likes_axes, items_axes = parts[1].subplots(1, 2)
        _draw_few_likes(likes_axes, evaluation.cold_people, hover)
        _draw_new_items(items_axes, evaluation.cold_items, hover)
    with report_missing_glyphs():
        save_figure(path, figure, title, hover)


def _draw_strategies(
    figure: SubFigure, strategies: Sequence[StrategyMetrics], hover: Hover
) -> None:
    names = [metrics.strategy for metrics in strategies]
    quality, variety, latency = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1.4, 1.1))
    bars = Bars(
        {
            RECALL_MEANING: [metrics.recall_at_20 for metrics in strategies],
            NDCG_MEANING: [metrics.ndcg_at_20 for metrics in strategies],
        },
        DARK_COLORS,
        "{:.3f}",
        [
            [metrics.recall_at_20_interval for metrics in strategies],
            [metrics.ndcg_at_20_interval for metrics in strategies],
        ],
    )
    _draw_bars(quality, names, bars, hover)
    quality.set_title("quality\n(longer is better)", fontsize="medium", loc="left")
    _name_rows(quality, names)
    shares = {
        COVERAGE_MEANING: [100 * metrics.coverage_at_10 for metrics in strategies],
        POPULAR_MEANING: [100 * metrics.popular_at_10 for metrics in strategies],
    }
    _draw_bars(variety, names, Bars(shares, GREEN_COLORS, "{:.0f}%"), hover)
    variety.set_title(
        "variety (longer is better)\nand popularity (neither is better)",
        fontsize="medium",
        loc="left",
    )
    times = {LATENCY_MEANING: [metrics.p95_ms for metrics in strategies]}
    _draw_bars(latency, names, Bars(times, [LATENCY_COLOR], "{:.1f} ms"), hover)
    latency.set_title("latency\n(shorter is better)", fontsize="medium", loc="left")


def _draw_few_likes(axes: Axes, people: Sequence[ColdPeople], hover: Hover) -> None:
    for name, color in zip(("text", "auto"), DARK_COLORS[::-1], strict=True):
        rows = sorted(
            (row for row in people if row.strategy == name and row.likes),
            key=lambda row: row.likes,
        )
        counts = [row.likes for row in rows]
        recalls = [row.recall_at_20 for row in rows]
        axes.plot(counts, [recall.mean for recall in recalls], "o-", color=color, label=name)
        lows, highs = [recall.low for recall in recalls], [recall.high for recall in recalls]
        axes.fill_between(counts, lows, highs, color=color, alpha=BAND_ALPHA)
        axes.set_xticks(counts)
        for count, recall in zip(counts, recalls, strict=True):
            likes = format_count(count, "known like")
            text = f"{name}, {likes}\nrecall@{TOP}: {recall.mean:.3f}\n{_describe(recall)}"
            hover.add_point(axes, count, recall.mean, text)
    popular = next(row.recall_at_20.mean for row in people if row.strategy == "popular")
    axes.axhline(popular, color=LATENCY_COLOR, linestyle="--", label="popular items")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("known likes of a person")
    axes.set_ylabel(f"recall@{TOP}")
    axes.set_title("people with few likes (higher is better)", fontsize="medium", loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_new_items(axes: Axes, items: Sequence[ColdItems], hover: Hover) -> None:
    of_new, of_all = [row.recall_of_new for row in items], [row.recall_at_20 for row in items]
    bars = Bars(
        {
            f"recall@{TOP} of all items": [recall.mean for recall in of_all],
            f"recall@{TOP} of new items": [recall.mean for recall in of_new],
        },
        DARK_COLORS,
        "{:.3f}",
        [[Interval(recall.low, recall.high) for recall in recalls] for recalls in (of_all, of_new)],
    )
    names = [row.strategy for row in items]
    _draw_bars(axes, names, bars, hover)
    _name_rows(axes, names)
    axes.set_title("if some items are new (longer is better)", fontsize="medium", loc="left")


def _draw_bars(axes: Axes, names: Sequence[str], bars: Bars, hover: Hover) -> None:
    """Draw one or two bars in each row, with their values, which makes a value axis unnecessary."""
    height = 2 * BAR_HEIGHT / len(bars.values)
    for place, (meaning, lengths) in enumerate(bars.values.items()):
        shift = (place - (len(bars.values) - 1) / 2) * height
        intervals = bars.intervals[place] if bars.intervals else ()
        drawn = axes.barh(
            [row + shift for row in range(len(lengths))],
            lengths,
            height,
            label=meaning,
            color=bars.colors[place],
            xerr=_list_errors(lengths, intervals) if intervals else None,
            ecolor=ERROR_COLOR,
        )
        axes.bar_label(drawn, fmt=bars.label_format, padding=3)
        for row, bar in enumerate(drawn):
            value = bars.label_format.format(lengths[row])
            lines = [names[row], f"{meaning}: {value}"]
            lines += [_describe(intervals[row])] if intervals else []
            hover.add_bar(bar, "\n".join(map(to_line, lines)))
    axes.margins(x=0.3)
    axes.set_xlim(left=0)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.0), frameon=False, borderaxespad=0.2)


def _describe(interval: Interval | Quality) -> str:
    return f"95% interval: {interval.low:.3f} to {interval.high:.3f}"


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows, and say below a name what the strategy ranks by."""
    lines = [
        f"{to_line(name)}\n({DESCRIPTIONS[name]})" if name in DESCRIPTIONS else to_line(name)
        for name in names
    ]
    axes.set_yticks(range(len(names)), lines, parse_math=False)
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
