"""The data folder: locked for one server, with a database of the newest schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Protocol

from service import errors
from service.storage.connections import connect
from service.storage.database import translate_errors
from service.storage.migrations import migrate

DATABASE = "akin.sqlite3"

# Pause between attempts to lock a folder.
LOCK_RETRY_SECONDS = 0.05


class FolderLock:
    """The lock of a data folder, which a process holds until it ends.

    A process that gets it as an argument from its parent holds it as well. The folder is free when
    all of them have ended, even if the parent was killed.

    Args:
        descriptor: the file descriptor of the lock.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[..., FolderLock], tuple[object]]:
        """Pass the file descriptor to a process that multiprocessing starts."""
        return _inherit_lock, (DupFd(self._descriptor),)


class _Duplicate(Protocol):
    """A file descriptor on its way to a new process."""

    def detach(self) -> int: ...


def _inherit_lock(duplicate: _Duplicate) -> FolderLock:
    descriptor = duplicate.detach()
    os.set_inheritable(descriptor, False)
    return FolderLock(descriptor)


@contextmanager
def lock_folder(folder: Path, wait_seconds: float = 0.0) -> Iterator[FolderLock]:
    """Create a data folder if it is missing, and hold its lock; a dead process holds none.

    Args:
        folder: the data folder.
        wait_seconds: how long to wait for another server to end.

    Raises:
        StoreUnavailable: the folder cannot be used, or another server uses it.
    """
    _create_folder(folder)
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _unusable(folder, exc) from exc
    try:
        if not _lock(lock, time.monotonic() + wait_seconds):
            raise errors.StoreUnavailable(f"another server uses this data folder: {folder}")
        yield FolderLock(lock)
    finally:
        os.close(lock)


def _lock(descriptor: int, end: float) -> bool:
    """Lock a file. Return false if another process holds it until the time `end`."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(LOCK_RETRY_SECONDS)
        else:
            return True


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
    try:
        with translate_errors(), closing(connect(path)) as connection:
            migrate(connection)
            connection.execute("SELECT store_id FROM identity").fetchone()
    except errors.StoreUnavailable as exc:
        raise errors.StoreUnavailable(f"{path} cannot be used: {exc.__cause__}") from exc
    except errors.AkinError as exc:
        raise type(exc)(f"{path}: {exc}") from exc
    except sqlite3.Error as exc:
        # It lacks tables of its schema version, or has other tables of their names.
        raise errors.StoreCorrupted(f"{path} is not a database of Akin: {exc}") from exc
    return path


def list_snapshot_folders(folder: Path) -> list[Path]:
    """Return the folders of index snapshots in a data folder, one for each generation.

    A folder that people chose as data folder may have a folder `index` with other contents.
    """
    index = folder / "index"
    children = index.iterdir() if index.is_dir() else ()
    return [child for child in children if child.name.isdecimal()]


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(folder, exc) from exc


def _unusable(folder: Path, exc: OSError) -> errors.StoreUnavailable:
    is_file = isinstance(exc, FileExistsError | NotADirectoryError)
    reason = "it is not a folder" if is_file else exc.strerror
    return errors.StoreUnavailable(
        f"the data folder cannot be used: {exc.filename or folder}: {reason}"
    )
