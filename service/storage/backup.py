"""Backups: copies of the database, made while a server writes to it, and restored elsewhere."""

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
from service.storage.connections import connect
from service.storage.data_folder import DATABASE, lock_folder
from service.storage.database import translate_errors

# Pages copied between two reports of the progress.
PAGES_PER_STEP = 1_000

# Endings of the files that SQLite keeps beside a database.
LOG_ENDINGS = ("-wal", "-shm", "-journal")


class Contents(NamedTuple):
    """The live items and users of all catalogs in a database, and the number of the last write."""

    items: int
    users: int
    sequence: int


def create_backup(folder: Path, target: Path, progress: Callable[[int, int], None]) -> Contents:
    """Copy the database of a data folder, as of one moment, into a new file, and verify the copy.

    A server can keep writing to the folder.

    Args:
        folder: the data folder.
        target: the file to create; it appears once it is complete.
        progress: called with the number of copied pages and of all pages.

    Raises:
        StoreUnavailable: there is no such folder, or the file exists already or cannot be written.
        StoreCorrupted: the copy, and so the database, is damaged.
    """
    source = folder / DATABASE
    if not source.is_file():
        raise errors.StoreUnavailable(f"there is no database in {folder}")
    if target.exists():
        raise errors.StoreUnavailable(f"{target} exists already")
    partial = _partial_path(target)
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL, 0o600))  # only the owner reads the texts
        _copy_database(source, partial, progress)
        contents = verify_database(partial)
        _publish(partial, target)
    except FileExistsError as exc:
        raise errors.StoreUnavailable(f"{target} exists already") from exc
    except OSError as exc:
        raise errors.StoreUnavailable(f"the backup cannot be written: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)
    return contents


def _copy_database(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    with (
        translate_errors(),
        closing(connect(source, read_only=True)) as source_connection,
        closing(sqlite3.connect(target)) as target_connection,
    ):
        # Inside a transaction the copy does not start over when another process writes.
        source_connection.execute("BEGIN")
        source_connection.execute("SELECT count(*) FROM counters").fetchone()
        source_connection.backup(
            target_connection,
            pages=PAGES_PER_STEP,
            progress=lambda _, remaining, pages: progress(pages - remaining, pages),
        )
        target_connection.execute("PRAGMA journal_mode = DELETE")


def restore_backup(file: Path, folder: Path) -> Contents:
    """Put a backup into a data folder that has no database, and verify what is put there.

    Raises:
        StoreUnavailable: the folder has a database, a server uses it, or it cannot be written.
        StoreCorrupted: the file is not a database of Akin, or is damaged.
    """
    if not file.is_file():
        raise errors.StoreUnavailable(f"there is no file {file}")
    with lock_folder(folder):
        database = folder / DATABASE
        # SQLite would apply a log of a former database to the restored one.
        logs = (database.with_name(DATABASE + ending) for ending in LOG_ENDINGS)
        for path in (database, *logs):
            if path.exists():
                raise errors.StoreUnavailable(
                    f"{folder} has a database already, {path.name}: restore elsewhere"
                )
        partial = _partial_path(database)
        try:
            # Snapshots of the index can hold writes that came after the backup.
            shutil.rmtree(folder / "index", ignore_errors=True)
            shutil.copyfile(file, partial)
            contents = verify_database(partial)
            _publish(partial, database)
        except OSError as exc:
            raise errors.StoreUnavailable(f"the backup cannot be restored: {exc}") from exc
        finally:
            partial.unlink(missing_ok=True)
    return contents


def verify_database(file: Path) -> Contents:
    """Check every page of a database that no server uses, and return what it holds.

    Raises:
        StoreUnavailable: the file is missing.
        StoreCorrupted: the file is not a database of Akin, or is damaged.
    """
    if not file.is_file():
        raise errors.StoreUnavailable(f"there is no file {file}")
    uri = f"{file.as_uri()}?mode=ro"
    with translate_errors(), closing(sqlite3.connect(uri, uri=True)) as connection:
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
            raise errors.StoreCorrupted(f"{file} is not a database of Akin") from exc
    return Contents(*row)


def _partial_path(target: Path) -> Path:
    """Return an unused name beside `target` for a file that is not complete yet."""
    return target.with_name(f"{target.name}.{uuid4().hex}.partial")


def _publish(partial: Path, target: Path) -> None:
    """Give a complete file its name, so that the name survives a power loss.

    Raises:
        FileExistsError: the name is taken.
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
