"""Copies of the database: made while a server writes to it, and put back where there is none."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from service import errors
from service.storage.folder import DATABASE, locked
from service.storage.schema import connect, translated

PAGES_AT_ONCE = 1_000
LOGS = ("-wal", "-shm", "-journal")


class Contents(NamedTuple):
    """What a database holds: live items and users of all catalogs, and the last write."""

    items: int
    users: int
    sequence: int


def backup(folder: Path, target: Path, progress: Callable[[int, int], None]) -> Contents:
    """Copies the database of a data folder, as of one moment, into a new file, and checks the copy.

    A server may go on meanwhile.

    Args:
        folder: the data folder.
        target: the file; it is there once it is whole.
        progress: is told how many of how many pages were copied.

    Raises:
        StoreUnavailable: there is no such folder, or the file is there already or cannot be made.
        StoreCorrupted: the copy, and so the database, is damaged.
    """
    source = folder / DATABASE
    if not source.is_file():
        raise errors.StoreUnavailable(f"there is no database in {folder}")
    if target.exists():
        raise errors.StoreUnavailable(f"{target} is there already")
    partial = _beside(target)
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL, 0o600))  # it holds all texts
        with (
            translated(),
            closing(connect(source, read_only=True)) as reading,
            closing(sqlite3.connect(partial)) as writing,
        ):
            # In one transaction: a copy that another process's writes interrupt starts anew.
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM counters").fetchone()
            reading.backup(
                writing,
                pages=PAGES_AT_ONCE,
                progress=lambda _status, left, all_pages: progress(all_pages - left, all_pages),
            )
            writing.execute("PRAGMA journal_mode = DELETE")
        contents = check(partial)
        _publish(partial, target)
    except FileExistsError as exc:
        raise errors.StoreUnavailable(f"{target} is there already") from exc
    except OSError as exc:
        raise errors.StoreUnavailable(f"the backup cannot be written: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)
    return contents


def restore(file: Path, folder: Path) -> Contents:
    """Puts a backup into a data folder that has no database, and checks what is put there.

    Raises:
        StoreUnavailable: the folder has a database, a server uses it, or it cannot be written.
        StoreCorrupted: the file is no database of Akin's, or is damaged.
    """
    if not file.is_file():
        raise errors.StoreUnavailable(f"there is no file {file}")
    with locked(folder):
        database = folder / DATABASE
        # A log that was left behind would be played into the database that is put beside it.
        for left in (database, *(database.with_name(DATABASE + end) for end in LOGS)):
            if left.exists():
                raise errors.StoreUnavailable(
                    f"{folder} has a database already, {left.name}: restore elsewhere"
                )
        partial = _beside(database)
        try:
            # Snapshots of the index may be of what came after the backup.
            shutil.rmtree(folder / "index", ignore_errors=True)
            shutil.copyfile(file, partial)
            contents = check(partial)
            _publish(partial, database)
        except OSError as exc:
            raise errors.StoreUnavailable(f"the backup cannot be put back: {exc}") from exc
        finally:
            partial.unlink(missing_ok=True)
    return contents


def check(file: Path) -> Contents:
    """What a database that no server uses holds, if every page of it is sound.

    Raises:
        StoreUnavailable: there is no such file.
        StoreCorrupted: it is no database of Akin's, or is damaged.
    """
    if not file.is_file():
        raise errors.StoreUnavailable(f"there is no file {file}")
    with translated(), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok" or connection.execute("PRAGMA foreign_key_check").fetchone():
                raise errors.StoreCorrupted(f"{file} is damaged")
            row = connection.execute(
                """SELECT (SELECT count(*) FROM items JOIN catalogs USING (catalog_id)
                              WHERE NOT deleted AND name IS NOT NULL),
                          (SELECT count(*) FROM users JOIN catalogs USING (catalog_id)
                              WHERE name IS NOT NULL),
                          (SELECT value FROM counters WHERE name = 'sequence')"""
            ).fetchone()
        except sqlite3.OperationalError as exc:
            raise errors.StoreCorrupted(f"{file} is no database of Akin's") from exc
    return Contents(*row)


def _beside(target: Path) -> Path:
    """A name of its own for what is to become `target`."""
    return target.with_name(f"{target.name}.{uuid4().hex}.partial")


def _publish(partial: Path, target: Path) -> None:
    """Gives a whole file its name, which survives a loss of power.

    Raises:
        FileExistsError: there is one of that name.
    """
    _sync(partial)
    os.link(partial, target)
    partial.unlink()
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
