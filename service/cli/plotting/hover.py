"""Details of the bars and points of a figure, which a page shows under the pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.transforms import BboxBase

# Decimal places of fractions of the figure: a tenth of a pixel.
_PLACES = 4


class HoverTarget(NamedTuple):
    """A part of the picture with its details.

    Attributes:
        left: distance from the left edge, as a fraction of the width.
        top: distance from the upper edge, as a fraction of the height.
        width: as a fraction of the width; 0 for a point.
        height: as a fraction of the height; 0 for a point.
        text: the details, in lines.
    """

    left: float
    top: float
    width: float
    height: float
    text: str


class Hover:
    """Collects bars and points while a figure is drawn, and finds their places at the end."""

    def __init__(self) -> None:
        self._bars: list[tuple[Rectangle, str]] = []
        self._points: list[tuple[Axes, float, float, str]] = []

    def add_bar(self, bar: Rectangle, text: str) -> None:
        """Add a bar with its details."""
        self._bars.append((bar, text))

    def add_point(self, axes: Axes, x: float, y: float, text: str) -> None:
        """Add a point in the coordinates of the axes, with its details."""
        self._points.append((axes, x, y, text))

    def locate(self, figure: Figure) -> list[HoverTarget]:
        """Return the places of all bars and points; the figure must be drawn already."""
        frame = figure.bbox
        targets = [_locate_box(bar.get_window_extent(), frame, text) for bar, text in self._bars]
        for axes, x, y, text in self._points:
            left, bottom = axes.transData.transform((x, y)).tolist()
            place = round(left / frame.width, _PLACES), round(1 - bottom / frame.height, _PLACES)
            targets.append(HoverTarget(*place, 0.0, 0.0, text))
        return targets


def _locate_box(box: BboxBase, frame: BboxBase, text: str) -> HoverTarget:
    return HoverTarget(
        round(box.x0 / frame.width, _PLACES),
        round(1 - box.y1 / frame.height, _PLACES),
        round(box.width / frame.width, _PLACES),
        round(box.height / frame.height, _PLACES),
        text,
    )
