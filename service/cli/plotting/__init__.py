"""Plots as PNG files. They need matplotlib, which is an extra and slow to import."""

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

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PlotError(Exception):
    """A plot cannot be drawn or written; the message says why."""


def require_plotting(path: Path) -> None:
    """Check that a plot can be drawn and written, before the work whose result it shows.

    Raises:
        PlotError: matplotlib is not installed, or the folder of the file does not exist.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415  (an extra, and slow to import)
    except ImportError as exc:
        raise PlotError(
            f"--plot needs matplotlib: pip install 'akin-service[plot]' ({exc})"
        ) from exc
    # The folder cannot have the file, or this process cannot write to the folder or to the file.
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise PlotError(f"--plot: cannot write the file {path}")


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG file; after an error, a file that was there before is unchanged.

    Raises:
        PlotError: the file cannot be written.
    """
    image = io.BytesIO()
    figure.savefig(image, format="png")
    try:
        _write_whole(path.resolve(), image.getvalue())
    except OSError as exc:
        raise PlotError(f"--plot: {exc}") from exc


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
