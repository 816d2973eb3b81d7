"""The pictures of the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE_INCHES = (10.0, 4.5)
DOTS_PER_INCH = 150
COLOURS = ("#2b5c8a", "#9a9a9a", "#8fb8dc", "#c9b48a")
PEER_COLOURS = ("#2b5c8a", "#8fb8dc", "#c8553d", "#c9b48a", "#5f8a5b")

Rows = Sequence[Mapping[str, Any]]


def throughput(path: Path, result: Mapping[str, Any]) -> None:
    """Writes the picture of Akin next to the bare handler as a PNG."""
    title = (
        f"RecommendSimilar over {result['items']:,} items: {result['ratio_best_calls']:g} of a "
        f"bare handler's best, recall@10 {result['recall_at_10']:g}"
    )
    _draw(path, title, result["closed_loop"], {"akin": "akin", "bare": "bare gRPC handler"})


def peers(path: Path, result: Mapping[str, Any], kinds: Sequence[str]) -> None:
    """Write the picture of recall against calls, a panel for each kind of query, as a PNG.

    Args:
        path: of the PNG.
        result: of bench/peers.
        kinds: beginnings of the names of queries.
    """
    figure = Figure(figsize=(10.0, 8.0), dpi=DOTS_PER_INCH, layout="constrained")
    callers = result["plotted_callers"]
    figure.suptitle(f"10 nearest of {result['items']:,} items, {callers} callers")
    names = dict.fromkeys(row["peer"] for row in result["rows"])
    for axes, kind in zip(figure.subplots(2, 2).flat, kinds, strict=True):
        for color, name in zip(PEER_COLOURS, names, strict=False):
            curve, points = (
                [
                    (row["recall_at_10"], row["calls_per_second"])
                    for row in result[part]
                    if (row["peer"], row["callers"]) == (name, callers)
                    and row["case"].startswith(kind)
                ]
                for part in ("curves", "rows")
            )
            axes.plot(*zip(*points, strict=True), color=color, marker="o", linestyle="", label=name)
            if curve:
                axes.plot(*zip(*curve, strict=True), color=color, marker=".", linestyle=":")
        axes.set(title=kind, xlabel="recall@10 by score", ylabel="calls per second", ylim=(0, None))
        axes.set_xlim(min(axes.get_xlim()[0], 0.97), 1.002)
        axes.grid(visible=True, alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    figure.savefig(path)


def recall(path: Path, result: Mapping[str, Any]) -> None:
    """Writes the picture of recall against speed as a PNG."""
    figure = Figure(figsize=(6.5, 4.5), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    ways = result["ways"]
    walks = [each for name, each in ways.items() if name.startswith("walk")]
    axes.plot(
        [each["recall_at_10"] for each in walks],
        [each["queries_per_second"] for each in walks],
        marker="o",
        color=COLOURS[0],
    )
    for name, each in ways.items():
        at = each["recall_at_10"], each["queries_per_second"]
        if not name.startswith("walk"):
            axes.plot(*at, marker="s", color=COLOURS[3])
        axes.annotate(name, at, textcoords="offset points", xytext=(5, 5), fontsize="small")
    axes.set(xlabel="recall@10 by score", ylabel="queries per second, one thread", yscale="log")
    axes.set_title(f"Ways to search {result['items']:,} items")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


def scale(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Writes the picture of times by what a filter keeps, and by the number of items, as a PNG."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    filtered, grown = figure.subplots(1, 2)
    for colour, result in zip(COLOURS, results, strict=False):
        rows = result["filtered"]
        kept = [row["kept"] for row in rows]
        label = f"{result['items']:,} items"
        filtered.plot(kept, [row["p50_ms"] for row in rows], marker="o", color=colour, label=label)
        filtered.plot(kept, [row["p95_ms"] for row in rows], color=colour, linestyle=":")
    filtered.set(xscale="log", xlabel="items that a filter keeps", ylabel="ms (dotted: p95)")
    filtered.set_ylim(0)
    filtered.legend(fontsize="small")
    sizes = [result["items"] for result in results]
    for colour, (kind, label) in zip(
        COLOURS, {"item_query": "by item", "text_query": "by text"}.items(), strict=False
    ):
        for share, style in (("p50_ms", "-"), ("p95_ms", ":")):
            grown.plot(
                sizes,
                [result[kind][share] for result in results],
                marker="o",
                color=colour,
                linestyle=style,
                label=f"{label}, {share[:3]}",
            )
    grown.set(xscale="log", xlabel="items", ylabel="ms")
    grown.set_ylim(0)
    grown.legend(fontsize="small")
    for axes in (filtered, grown):
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


def growth(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Writes the picture of speed, memory and times by the number of items as a PNG."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    sizes = [result["items"] for result in results]
    ratio, memory, times = figure.subplots(1, 3)
    for colour, kind in zip(COLOURS, ("item", "text"), strict=False):
        values = [result[f"{kind}_over_bare"] for result in results]
        ratio.plot(sizes, values, marker="o", color=colour, label=f"by {kind}")
    ratio.set(ylabel="calls/s, relative to a bare gRPC handler", ylim=(0, 1))
    for colour, name, label in (
        (COLOURS[0], "resident_mb", "after the build"),
        (COLOURS[2], "restarted_mb", "after a restart"),
    ):
        values = [result[name] for result in results]
        memory.plot(sizes, values, marker="o", color=colour, label=label)
    memory.set(ylabel="resident memory, MB", yscale="log")
    built = [result["import"]["seconds_until_settled"] for result in results]
    restarts = [result["restart_seconds"] for result in results]
    times.plot(sizes, built, marker="o", color=COLOURS[0], label="imported and built")
    times.plot(sizes, restarts, marker="o", color=COLOURS[2], label="restart")
    times.set(ylabel="seconds", yscale="log")
    for axes in (ratio, memory, times):
        axes.set(xscale="log", xlabel="items")
        axes.legend(fontsize="small")
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


def usage(path: Path, result: Mapping[str, Any]) -> None:
    """Writes the picture of what a server takes over time, relative to the baseline, as a PNG."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    cycle_minutes = result["minutes"] / result["cycles"]
    for colour, name in zip(COLOURS, ("rss", "threads", "files", "disk"), strict=True):
        baseline = result["figures"][name]["baseline"]
        values = result["samples"][name]
        minutes = [cycle_minutes * (number + 1) for number in range(len(values))]
        axes.plot(minutes, [value / baseline for value in values], color=colour, label=name)
    axes.set(xlabel="minutes", ylabel="relative to the baseline", ylim=(0, None))
    axes.legend(fontsize="small")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


def _draw(path: Path, title: str, rows: Rows, names: Mapping[str, str]) -> None:
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    figure.suptitle(title)
    calls, latency = figure.subplots(1, 2)
    for colour, (name, label) in zip(COLOURS, names.items(), strict=False):
        _line(calls, rows, name, "calls_per_second", color=colour, label=label)
        _line(latency, rows, name, "p50_ms", color=colour, label=f"{label}, p50")
        _line(latency, rows, name, "p99_ms", color=colour, label="p99", linestyle=":")
    calls.set(ylabel="calls per second", ylim=(0, None))
    latency.set(ylabel="milliseconds", yscale="log")
    for axes in (calls, latency):
        axes.set_xlabel("concurrent callers")
        axes.set_xscale("log", base=2)
        axes.set_xticks([row["concurrency"] for row in rows])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend(fontsize="small")
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(path)


def _line(axes: Axes, rows: Rows, name: str, figure: str, **style: str) -> None:
    axes.plot(
        [row["concurrency"] for row in rows],
        [row[name][figure] for row in rows],
        marker="o",
        **style,  # type: ignore[arg-type]  # keywords of several types
    )
