"""Backups of the data folder that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from service.settings import load
from service.storage.backup import Contents, backup, restore

__all__ = ["Contents", "copied", "put_back"]


def copied(folder: Path | None, target: Path, progress: Callable[[int, int], None]) -> Contents:
    """Copies the data, of the settings' folder if none is given; see `backup`."""
    return backup(folder or load().data_dir, target.absolute(), progress)


def put_back(file: Path, folder: Path | None) -> Contents:
    """Puts a backup back, into the settings' folder if none is given; see `restore`."""
    return restore(file.absolute(), folder or load().data_dir)
