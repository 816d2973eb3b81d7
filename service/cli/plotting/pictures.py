"""What pictures need: matplotlib, an extra that is slow to load, and a file that can be written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Plot = Annotated[Path | None, typer.Option(dir_okay=False, help="Write a picture here, a PNG.")]


class CannotDraw(Exception):
    """There can be no picture; the message says why."""


def check(path: Path) -> None:
    """Finds out what stands against a picture before there is work to lose.

    Raises:
        CannotDraw: matplotlib is missing, or the folder is.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415  (an extra, and slow to load)
    except ImportError as exc:
        raise CannotDraw(
            f"--plot needs matplotlib, from pip install 'akin-service[plot]' ({exc})"
        ) from exc
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise CannotDraw(f"--plot: no file can be written at {path}")


def write(path: Path, figure: Figure) -> None:
    """Writes a picture as a PNG.

    Raises:
        CannotDraw: the file cannot be written.
    """
    try:
        figure.savefig(path, format="png")
    except OSError as exc:
        raise CannotDraw(f"--plot: {exc}") from exc
