"""The map of a catalog: a point an item, colored by its group, and each group's words."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import akin
import numpy as np
from numpy.typing import NDArray

from service.cli import analysis_output
from service.cli.plotting import labels, pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 20_000
"""Of more items a sample is drawn: more points only hide each other."""

SIZE_INCHES = (11.0, 10.0)
DOTS_PER_INCH = 120
FRAME = (0.0, 0.04, 1.0, 0.9)
MARGIN = 0.04
PAPER, INK, GREY = "#fdfdfb", "#222222", "#666666"

# Paul Tol's muted scheme and three of Okabe and Ito's: told apart by color-blind people too.
COLORS = (
    *("#332288", "#44aa99", "#cc6677", "#88ccee", "#999933", "#882255"),
    *("#117733", "#e69f00", "#aa4499", "#0072b2", "#d55e00", "#c9b458"),
)
MARKERS = "o^sDvP"
"""Where there are more groups than colors, the next shape begins."""

INKED = 40_000.0
"""Square points of ink for all items together, and the least and most for one."""
LEAST_SIZE, MOST_SIZE = 5.0, 45.0

WORDS = 3
LINE_CHARACTERS = 16

Places = NDArray[np.float64]
Groups = NDArray[np.int64]


def draw(path: Path, found: akin.ClusterItemsResponse) -> None:
    """Writes the map as a PNG.

    Raises:
        CannotDraw: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to load)

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, facecolor=PAPER)
    _head(figure, found)
    axes = figure.add_axes(FRAME)
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(MARGIN)
    places = np.array([(each.x, each.y) for each in found.points]).reshape(-1, 2)
    groups = np.array([each.cluster for each in found.points], np.int64)
    middles = _middles(found, places, groups)
    colors = _colors(middles)
    _scatter(axes, places, groups, colors)
    axes.apply_aspect()
    words = [_words(place, each) for place, each in enumerate(found.clusters, start=1)]
    labels.write(axes, words, middles, colors)
    pictures.write(path, figure)


def _head(figure: Figure, found: akin.ClusterItemsResponse) -> None:
    """The title, and what it must be told of a sample."""
    title = f"{found.extent.item_count:,} items in {analysis_output.groups(len(found.clusters))}"
    figure.text(0.025, 0.955, title, size=18, weight="bold", color=INK)
    drawn = len(found.points)
    some = f"{drawn:,} items are drawn" if drawn < found.extent.examined_count else None
    caption = analysis_output.caption(analysis_output.sample(found.extent), some)
    figure.text(0.025, 0.02, caption or "", size=11, color=GREY)


def _middles(found: akin.ClusterItemsResponse, places: Places, groups: Groups) -> Places:
    """Where most of each group's points are."""
    middles = np.array([(each.x, each.y) for each in found.clusters]).reshape(-1, 2)
    for group in np.unique(groups).tolist():
        middles[group] = np.median(places[groups == group], axis=0)
    return middles


def _colors(middles: Places) -> list[str]:
    """A color for each group, as different as can be from those of groups nearby."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415  (an extra, and slow to load)

    shades = np.array([to_rgb(each) for each in COLORS])
    chosen: list[int] = []
    for group, middle in enumerate(middles):
        of_this_shape = chosen[group - group % len(COLORS) :]
        free = [each for each in range(len(COLORS)) if each not in of_this_shape]
        gaps = np.linalg.norm(middles[:group] - middle, axis=1)
        apart = np.linalg.norm(shades[free][:, None] - shades[chosen][None], axis=2) * gaps
        chosen.append(free[int(apart.min(axis=1, initial=np.inf).argmax())])
    return [COLORS[each] for each in chosen]


def _scatter(axes: Axes, places: Places, groups: Groups, colors: Sequence[str]) -> None:
    """All points of one shape at once, so that no group lies on top of all others."""
    size = float(np.clip(INKED / max(len(places), 1), LEAST_SIZE, MOST_SIZE))
    shapes = groups // len(COLORS)
    for shape in np.unique(shapes).tolist():
        rows = shapes == shape
        axes.scatter(
            places[rows, 0],
            places[rows, 1],
            s=size,
            c=[colors[group] for group in groups[rows].tolist()],
            marker=MARKERS[shape % len(MARKERS)],
            alpha=0.75,
            edgecolors=PAPER,
            linewidths=0.3,
        )


def _words(place: int, cluster: akin.Cluster) -> str:
    words = ", ".join(cluster.words[:WORDS]) or f"group {place}"
    return textwrap.fill(words, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
