"""Labels on a map that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Boxes = NDArray[np.float64]

LABEL_POINTS = 11
CROWDED_LABEL_POINTS = 7

# With more labels than this, CROWDED_LABEL_POINTS is the font size.
MAX_LARGE_LABELS = 40

HALO_POINTS = 3.5

# Factor that darkens the color of a cluster for its label.
LABEL_SHADE = 0.55

GAP_PIXELS = 4.0

# A line connects a label with its position if the distance is greater than this.
CONNECTED_PIXELS = 30.0

# Maximum number of steps in which labels are pushed apart.
MAX_PUSHES = 300


def draw_labels(axes: Axes, labels: Sequence[str], positions: Boxes, colors: Sequence[str]) -> None:
    """Draw labels near their positions, in darker shades of their colors, without overlaps.

    Args:
        axes: the axes to draw on, with their final limits.
        labels: the texts.
        positions: the position of each label in data coordinates, float64 [labels, 2].
        colors: the color of each label.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (an extra)
    from matplotlib.colors import to_rgb  # noqa: PLC0415
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    size = LABEL_POINTS if len(labels) <= MAX_LARGE_LABELS else CROWDED_LABEL_POINTS
    texts = [
        axes.text(
            x,
            y,
            label,
            size=size,
            weight="bold",
            color=[LABEL_SHADE * channel for channel in to_rgb(color)],
            ha="center",
            va="center",
            parse_math=False,
            path_effects=[withStroke(linewidth=HALO_POINTS, foreground="white")],
            zorder=4,
        )
        for label, (x, y), color in zip(labels, positions.tolist(), colors, strict=True)
    ]
    FigureCanvasAgg(axes.figure.get_figure(root=True))  # text extents need a canvas
    boxes = np.array([text.get_window_extent().get_points() for text in texts])
    centers = push_apart(boxes.reshape(-1, 2, 2), axes.bbox.get_points()).mean(axis=1)
    targets = axes.transData.transform(positions)
    to_data = axes.transData.inverted()
    for text, center, target in zip(texts, centers, targets, strict=True):
        (x, y), (target_x, target_y) = to_data.transform([center, target]).tolist()
        text.set_position((x, y))
        if np.linalg.norm(center - target) > CONNECTED_PIXELS:
            axes.plot([x, target_x], [y, target_y], color=text.get_color(), linewidth=0.8, zorder=3)


def push_apart(boxes: Boxes, frame: Boxes) -> Boxes:
    """Return boxes that are pushed apart until none overlap, or as far as the frame has room.

    Args:
        boxes: the lower left and upper right corner of each box, float64 [boxes, 2, 2].
        frame: the two corners of the area that the boxes must not leave, float64 [2, 2].
    """
    sizes = boxes[:, 1] - boxes[:, 0] + GAP_PIXELS
    centers = boxes.mean(axis=1)
    required_distances = (sizes[:, None] + sizes[None]) / 2.0
    for _ in range(MAX_PUSHES):
        distances = centers[:, None] - centers[None]
        overlaps = required_distances - np.abs(distances)
        hit = (overlaps > 0.0).all(axis=2)
        np.fill_diagonal(hit, False)
        if not hit.any():
            break
        # Push along the axis with the smaller overlap. Of two at one place, the later goes up.
        vertical = overlaps[..., 1] <= overlaps[..., 0]
        order = np.sign(np.arange(len(boxes))[:, None] - np.arange(len(boxes))[None])
        signs = np.where(distances == 0.0, order[..., None], np.sign(distances))
        pushes = np.stack([hit & ~vertical, hit & vertical], axis=2) * overlaps * signs / 2.0
        centers = centers + pushes.sum(axis=1) / np.maximum(hit.sum(axis=1), 1)[:, None]
        centers = np.clip(centers, frame[0] + sizes / 2.0, frame[1] - sizes / 2.0)
    half = (boxes[:, 1] - boxes[:, 0]) / 2.0
    return np.stack([centers - half, centers + half], axis=1)
