"""Plots as PNG, SVG or HTML files. They need matplotlib, an extra that is slow to import."""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from service.cli import console
from service.cli.plotting.hover import Hover
from service.cli.plotting.page import build_page
from service.extras import describe_installation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HTML_ENDINGS = frozenset({".html", ".htm"})

# A name without an ending is that of a PNG file.
PLOT_ENDINGS = frozenset({"", ".png", ".svg"}) | _HTML_ENDINGS


class PlotError(Exception):
    """A plot cannot be drawn or written; the message says why."""


def require_plotting(path: Path) -> None:
    """Check that a plot can be drawn and written, before the work whose result it shows.

    Raises:
        PlotError: matplotlib is not installed, the ending of the file names no format, or the
            folder of the file does not exist.
    """
    if path.suffix.lower() not in PLOT_ENDINGS:
        raise PlotError(f"--plot: the ending of {path} must be .png, .svg or .html")
    try:
        import matplotlib.figure  # noqa: F401, PLC0415  (an extra, and slow to import)
    except ImportError as exc:
        raise PlotError(
            f"--plot needs matplotlib: {describe_installation('plot')} ({exc})"
        ) from exc
    # The folder cannot have the file, or this process cannot write to the folder or to the file.
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise PlotError(f"--plot: cannot write the file {path}")


def is_interactive(path: Path) -> bool:
    """Does a plot with this name show details under the pointer?"""
    return path.suffix.lower() in _HTML_ENDINGS


def save_figure(path: Path, figure: Figure, title: str = "", hover: Hover | None = None) -> None:
    """Write a figure as a file; after an error, a file that was there before is unchanged.

    Args:
        path: its ending chooses the format: .svg, .html, or PNG.
        figure: what to draw.
        title: of the HTML page.
        hover: the details that the HTML page shows under the pointer.

    Raises:
        PlotError: the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending in _HTML_ENDINGS:
        picture = _render(figure, "svg")
        content = build_page(title, picture, hover.locate(figure) if hover else []).encode()
    else:
        content = _render(figure, "svg" if ending == ".svg" else "png")
    try:
        _write_whole(path.resolve(), content)
    except OSError as exc:
        raise PlotError(f"--plot: {exc}") from exc


def _render(figure: Figure, format_: str) -> bytes:
    """Return the image of a figure; equal figures have equal images."""
    from matplotlib import rc_context  # noqa: PLC0415  (an extra, and slow to import)

    image = io.BytesIO()
    metadata = {"Date": None} if format_ == "svg" else None
    with rc_context({"svg.hashsalt": "akin"}):
        figure.savefig(image, format=format_, metadata=metadata)
    return image.getvalue()


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file, all or nothing where its folder allows it.

    Raises:
        OSError: the file cannot be written.
    """
    if path.exists() and not (path.is_file() and os.access(path.parent, os.W_OK)):
        path.write_bytes(content)  # a device, a pipe, or a file whose folder is read-only
        return
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        if path.exists():
            shutil.copymode(path, partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def report_missing_glyphs() -> Iterator[None]:
    """Print one line if the fonts lack characters; matplotlib warns of each character."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        yield
    if any("Glyph" in str(warning.message) for warning in raised):
        console.print_line("--plot: the fonts lack some characters of the labels", to_stderr=True)
