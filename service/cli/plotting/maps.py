"""Map of a catalog: a point for each item, colored by cluster, and the keywords of clusters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import akin
import numpy as np
from numpy.typing import NDArray

from service.cli import analysis_output
from service.cli.plotting import labels, report_missing_glyphs, save_figure
from service.cli.plotting.hover import Hover
from service.domain.printable import to_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More points only hide each other; of more items a sample is drawn.
MAX_POINTS = 20_000

# More points than this are one image within an SVG, which is then smaller and faster to show.
MAX_VECTOR_POINTS = 2_000

# 1,320 by 1,200 pixels.
MAP_INCHES = (11.0, 10.0)
MAP_DOTS_PER_INCH = 120

# Left, bottom, width and height of the map as fractions of the figure: room for title and caption.
MAP_RECTANGLE = (0.0, 0.04, 1.0, 0.9)

MARGIN = 0.04
BACKGROUND, TITLE_COLOR, CAPTION_COLOR = "#fdfdfb", "#222222", "#666666"

# Paul Tol's muted scheme and three colors of Okabe and Ito: distinct for color-blind people too.
COLORS = (
    *("#332288", "#44aa99", "#cc6677", "#88ccee", "#999933", "#882255"),
    *("#117733", "#e69f00", "#aa4499", "#0072b2", "#d55e00", "#c9b458"),
)

# With more clusters than colors, each further round of colors has the next shape.
MARKERS = "o^sDvP"

# Area of all points together, in square points of ink: maps of any size look equally dense.
TOTAL_POINT_AREA = 40_000.0

# Area of one point in a full map, in square points: smaller points are hard to see.
MIN_POINT_AREA = 5.0

# Area of one point in a sparse map, in square points: larger points look like clusters.
MAX_POINT_AREA = 45.0

# Keywords of a cluster in its label.
LABEL_KEYWORDS = 3

LABEL_LINE_CHARACTERS = 16

Positions = NDArray[np.float64]
ClusterIndexes = NDArray[np.int64]


def draw_map(
    path: Path, response: akin.ClusterItemsResponse, titles: Mapping[str, str] | None = None
) -> None:
    """Write the map of a response as a file, in the format that its ending names.

    Args:
        path: the file.
        response: the clusters and points.
        titles: of items by id, for the details of an HTML page.

    Raises:
        PlotError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to import)

    figure = Figure(figsize=MAP_INCHES, dpi=MAP_DOTS_PER_INCH, facecolor=BACKGROUND)
    _add_title(figure, response)
    axes = figure.add_axes(MAP_RECTANGLE)
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(MARGIN)
    positions = np.array([(point.x, point.y) for point in response.points]).reshape(-1, 2)
    cluster_indexes = np.array([point.cluster_index for point in response.points], np.int64)
    centers = _compute_centers(response, positions, cluster_indexes)
    colors = _choose_colors(centers)
    _draw_points(axes, positions, cluster_indexes, colors)
    axes.apply_aspect()
    texts = [_label(number, cluster) for number, cluster in enumerate(response.clusters, start=1)]
    with report_missing_glyphs():
        labels.draw_labels(axes, texts, centers, colors)
        hover = _describe_points(axes, response, texts, titles or {})
        save_figure(path, figure, _make_title(response), hover)


def _describe_points(
    axes: Axes,
    response: akin.ClusterItemsResponse,
    cluster_labels: Sequence[str],
    titles: Mapping[str, str],
) -> Hover:
    """Return the details of all points: the item's title and id, and the label of its cluster."""
    hover = Hover()
    for point in response.points:
        cluster = " ".join(cluster_labels[point.cluster_index].split())
        lines = [titles.get(point.item_id, ""), point.item_id, f"cluster: {cluster}"]
        hover.add_point(axes, point.x, point.y, "\n".join(to_line(line) for line in lines if line))
    return hover


def _make_title(response: akin.ClusterItemsResponse) -> str:
    clusters = analysis_output.format_count(len(response.clusters), "cluster")
    return f"{analysis_output.format_count(response.coverage.item_count, 'item')} in {clusters}"


def _add_title(figure: Figure, response: akin.ClusterItemsResponse) -> None:
    """Add the title, and a caption if the map shows only a sample."""
    coverage = response.coverage
    figure.text(0.025, 0.955, _make_title(response), size=18, weight="bold", color=TITLE_COLOR)
    points = len(response.points)
    drawn = None
    if points < coverage.examined_item_count:
        drawn = f"{analysis_output.format_count(points, 'item')} drawn"
    caption = analysis_output.join_captions(analysis_output.describe_sample(coverage), drawn)
    figure.text(0.025, 0.02, caption or "", size=11, color=CAPTION_COLOR)


def _compute_centers(
    response: akin.ClusterItemsResponse, positions: Positions, cluster_indexes: ClusterIndexes
) -> Positions:
    """Return the median position of each cluster's points, or its centroid if it has none."""
    centers = np.array([(cluster.x, cluster.y) for cluster in response.clusters]).reshape(-1, 2)
    for index in np.unique(cluster_indexes).tolist():
        centers[index] = np.median(positions[cluster_indexes == index], axis=0)
    return centers


def _choose_colors(centers: Positions) -> list[str]:
    """Return a color for each cluster, as different as possible from those of close clusters."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415  (an extra, and slow to import)

    shades = np.array([to_rgb(color) for color in COLORS])
    chosen: list[int] = []
    for index, center in enumerate(centers):
        used = chosen[index - index % len(COLORS) :]
        free = [color for color in range(len(COLORS)) if color not in used]
        distances = np.linalg.norm(centers[:index] - center, axis=1)
        differences = np.linalg.norm(shades[free][:, None] - shades[chosen][None], axis=2)
        weakest = (differences * distances).min(axis=1, initial=np.inf)
        chosen.append(free[int(weakest.argmax())])
    return [COLORS[color] for color in chosen]


def _draw_points(
    axes: Axes, positions: Positions, cluster_indexes: ClusterIndexes, colors: Sequence[str]
) -> None:
    """Draw all points of one shape at once, so that no cluster lies on top of all others."""
    area = float(np.clip(TOTAL_POINT_AREA / max(len(positions), 1), MIN_POINT_AREA, MAX_POINT_AREA))
    shapes = cluster_indexes // len(COLORS)
    for shape in np.unique(shapes).tolist():
        rows = shapes == shape
        axes.scatter(
            positions[rows, 0],
            positions[rows, 1],
            s=area,
            c=[colors[index] for index in cluster_indexes[rows].tolist()],
            marker=MARKERS[shape % len(MARKERS)],
            alpha=0.75,
            edgecolors=BACKGROUND,
            linewidths=0.3,
            rasterized=len(positions) > MAX_VECTOR_POINTS,
        )


def _label(number: int, cluster: akin.Cluster) -> str:
    text = to_line(", ".join(cluster.keywords[:LABEL_KEYWORDS])) or f"cluster {number}"
    return textwrap.fill(
        text, LABEL_LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False
    )
