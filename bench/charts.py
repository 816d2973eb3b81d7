"""The pictures of the benchmarks under load: calls per second and latency by number of callers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE_INCHES = (10.0, 4.5)
DOTS_PER_INCH = 150
COLOURS = ("#2b5c8a", "#9a9a9a", "#8fb8dc", "#c9b48a")

Rows = Sequence[Mapping[str, Any]]


def throughput(path: Path, result: Mapping[str, Any]) -> None:
    """Writes the picture of Akin next to the bare handler as a PNG."""
    title = (
        f"RecommendSimilar over {result['items']:,} items: {result['ratio_best_calls']:g} of a "
        f"bare handler's best, recall@10 {result['recall_at_10']:g}"
    )
    _draw(path, title, result["closed_loop"], {"akin": "akin", "bare": "bare gRPC handler"})


def peer(path: Path, result: Mapping[str, Any]) -> None:
    """Writes the picture of Akin next to Chroma as a PNG."""
    recall = result["recall_at_10"]
    title = (
        f"10 nearest of {result['items']:,} items, one server process each; "
        f"recall@10: akin {recall['akin']:g}, Chroma {recall['chroma']:g}"
    )
    names = {
        "akin_go": "akin, asked in Go",
        "chroma_go": "Chroma, asked in Go",
        "akin_python": "akin, asked in Python",
        "chroma_python": "Chroma, asked in Python",
    }
    _draw(path, title, result["callers"], names)


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
