"""The data folder: locked for one server, with a database of the newest schema."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service import errors
from service.storage.connections import connect
from service.storage.database import translate_errors
from service.storage.migrations import migrate

DATABASE = "akin.sqlite3"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create a data folder if it is missing, and hold its lock; a dead process holds none.

    Raises:
        StoreUnavailable: the folder cannot be used, or another server uses it.
    """
    _create_folder(folder)
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _unusable(exc) from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.StoreUnavailable("another server uses this data folder") from None
        yield
    finally:
        os.close(lock)


def prepare_folder(folder: Path) -> Path:
    """Create the folder and its database if they are missing, and migrate the database.

    Returns:
        The path of the database.

    Raises:
        StoreUnavailable: the folder cannot be used.
        StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
    """
    _create_folder(folder)
    path = folder / DATABASE
    with translate_errors(), closing(connect(path)) as connection:
        migrate(connection)
    return path


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(exc) from exc


def _unusable(exc: OSError) -> errors.StoreUnavailable:
    return errors.StoreUnavailable(f"the data folder cannot be used: {exc}")
