"""Labels on a map that do not lie on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Boxes = NDArray[np.float64]

SIZE = 11
SMALL_SIZE = 7
MANY = 40
"""Of more labels each is smaller."""

HALO = 3.5
DARKER = 0.55
GAP_PIXELS = 4.0
MOVED_PIXELS = 30.0
"""What lies farther from its place than this is tied to it by a line."""

PUSHES = 300


def write(axes: Axes, words: Sequence[str], places: Boxes, colors: Sequence[str]) -> None:
    """Writes words at their places, in darker shades of their colors, nudged apart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (an extra)
    from matplotlib.colors import to_rgb  # noqa: PLC0415
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    size = SIZE if len(words) <= MANY else SMALL_SIZE
    texts = [
        axes.text(
            x,
            y,
            label,
            size=size,
            weight="bold",
            color=[DARKER * part for part in to_rgb(color)],
            ha="center",
            va="center",
            parse_math=False,
            path_effects=[withStroke(linewidth=HALO, foreground="white")],
            zorder=4,
        )
        for label, (x, y), color in zip(words, places.tolist(), colors, strict=True)
    ]
    FigureCanvasAgg(axes.figure.get_figure(root=True))  # It knows how large letters are.
    boxes = np.array([each.get_window_extent().get_points() for each in texts])
    moved = nudged(boxes.reshape(-1, 2, 2), axes.bbox.get_points()).mean(axis=1)
    home = axes.transData.transform(places)
    to_data = axes.transData.inverted()
    for text, middle, place in zip(texts, moved, home, strict=True):
        (x, y), (home_x, home_y) = to_data.transform([middle, place]).tolist()
        text.set_position((x, y))
        if np.linalg.norm(middle - place) > MOVED_PIXELS:
            axes.plot([x, home_x], [y, home_y], color=text.get_color(), linewidth=0.8, zorder=3)


def nudged(boxes: Boxes, frame: Boxes) -> Boxes:
    """Boxes pushed apart until none overlap, or as far as the frame has room.

    Args:
        boxes: the lower left and upper right corner of each, float64 [boxes, 2, 2].
        frame: of what they shall stay within, float64 [2, 2].
    """
    sizes = boxes[:, 1] - boxes[:, 0] + GAP_PIXELS
    middles = boxes.mean(axis=1)
    least = (sizes[:, None] + sizes[None]) / 2.0
    for _ in range(PUSHES):
        ways = middles[:, None] - middles[None]
        overlaps = least - np.abs(ways)
        hit = (overlaps > 0.0).all(axis=2)
        np.fill_diagonal(hit, False)
        if not hit.any():
            break
        # The shorter way out; of two at one place the later goes up.
        shorter = overlaps[..., 1] <= overlaps[..., 0]
        order = np.sign(np.arange(len(boxes))[:, None] - np.arange(len(boxes))[None])
        signs = np.where(ways == 0.0, order[..., None], np.sign(ways))
        pushes = np.stack([hit & ~shorter, hit & shorter], axis=2) * overlaps * signs / 2.0
        middles = middles + pushes.sum(axis=1) / np.maximum(hit.sum(axis=1), 1)[:, None]
        middles = np.clip(middles, frame[0] + sizes / 2.0, frame[1] - sizes / 2.0)
    half = (boxes[:, 1] - boxes[:, 0]) / 2.0
    return np.stack([middles - half, middles + half], axis=1)
