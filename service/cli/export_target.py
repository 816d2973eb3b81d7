"""The file or stream that `akin export` writes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from service.cli.formats.rows import FileError
from service.files import TEMPORARY_ENDING, move_when_written

STANDARD_OUTPUT = "-"


@contextmanager
def open_target(path: str) -> Iterator[BinaryIO]:
    """Yield a stream to write to.

    A file is written under a temporary name beside it and replaces the one that was there before at
    the end, all or nothing. Only its owner can read it. Devices and pipes are written as they are.

    Args:
        path: name of the file; - for standard output.

    Raises:
        FileError: the folder of the file does not exist.
        OSError: the file cannot be written; the error names it as `path` does.
    """
    if path == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).expanduser().resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:
            yield stream
        return
    if not target.parent.is_dir():
        raise FileError(f"the folder {target.parent} does not exist")
    # Not one name for all: a file with it may belong to somebody else.
    temporary = target.with_name(f"{target.name}.{uuid4().hex}{TEMPORARY_ENDING}")
    try:
        with move_when_written(temporary, target), temporary.open("wb") as stream:
            yield stream
    except OSError as exc:
        if exc.filename == str(temporary):
            raise OSError(exc.errno, exc.strerror, path) from None
        raise
