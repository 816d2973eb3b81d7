"""The data folder: locked for one server, with a database of the newest schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
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
        FolderInUse: another server uses the folder.
        StoreUnavailable: the folder cannot be used.
    """
    _create_folder(folder)
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _unusable(folder, exc) from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.FolderInUse(f"another server uses this data folder: {folder}") from None
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
