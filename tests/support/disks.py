"""Processes with little room: what they write beyond a size fails, as on a full disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let every write of this process beyond a size of its file fail."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def created_with_mode_mask(mask: int) -> Iterator[None]:
    """Create files and folders with another umask."""
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of a folder, as ".", and of all that is in it, by relative path."""
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o7777
        for path in (folder, *folder.rglob("*"))
    }


def run_with_largest_file(
    size_bytes: int, folder: Path, *arguments: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command of Akin whose files can only have a size."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes)),
    )
