"""The data folder: kept to one server at a time, its database brought up to date."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service import errors
from service.storage.schema import connect, migrate, translated

DATABASE = "akin.sqlite3"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a data folder, which is made if need be; the kernel frees it in any case.

    Raises:
        StoreUnavailable: the folder cannot be used, or another server uses it.
    """
    _make(folder)
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _useless(exc) from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.StoreUnavailable("another server uses this data folder") from None
        yield
    finally:
        os.close(lock)


def prepare(folder: Path) -> Path:
    """Makes the folder and its database if need be, and brings the latter up to date.

    Returns:
        The database's path.

    Raises:
        StoreUnavailable: the folder cannot be used.
        StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
    """
    _make(folder)
    path = folder / DATABASE
    with translated(), closing(connect(path)) as connection:
        migrate(connection)
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _useless(exc) from exc


def _useless(exc: OSError) -> errors.StoreUnavailable:
    return errors.StoreUnavailable(f"the data folder cannot be used: {exc}")
