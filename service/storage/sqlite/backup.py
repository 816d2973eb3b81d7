"""Backups: copies of the database, made while a server writes to it, and restored elsewhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from service import errors, files
from service.storage.data_folder import (
    BACKUP_MARK,
    DATABASE,
    LOG_ENDINGS,
    is_partial,
    list_snapshot_folders,
    lock_folder,
    make_private,
    remove_partials,
    remove_snapshot,
)
from service.storage.sqlite.connections import BUSY_TIMEOUT_SECONDS
from service.storage.sqlite.migrations import check_version

# Pages copied between two reports of the progress.
PAGES_PER_STEP = 1_000

# Age of a partial file from which on nobody works on it: to check a large copy takes hours.
ABANDONED_SECONDS = 24 * 3600.0


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
        raise errors.StoreUnavailable(f"there is no database {source}")
    if target.exists():
        raise errors.StoreUnavailable(f"{target} exists already: choose another file")
    with _name_in_errors(target, "cannot be written"):
        is_same_disk = target.parent.stat().st_dev == folder.stat().st_dev
        reserve_bytes = files.RESERVED_BYTES if is_same_disk else 0
        files.require_room(target.parent, source.stat().st_size, reserve_bytes)
    with _name_in_errors(target, "cannot be written"), _create_partial(target) as partial:
        _copy_database(source, partial, progress)
        contents = verify_database(partial, source)
        _publish(partial, target)
    _mark_backup(folder)
    return contents


def _mark_backup(folder: Path) -> None:
    """Record the time of a backup for the server's metrics.

    The backup is complete without it, as in a folder that this process cannot write to.
    """
    with suppress(OSError):
        mark = folder / BACKUP_MARK
        if not mark.exists():
            files.create_file(mark)
        os.utime(mark)


def _copy_database(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    problem = f"{source} cannot be read"
    try:
        with (
            closing(_open_source(source)) as source_connection,
            closing(sqlite3.connect(target)) as target_connection,
        ):
            # Inside a transaction the copy does not start over when another process writes.
            source_connection.execute("BEGIN")
            source_connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            problem = f"{source} cannot be copied to {target.parent}"
            source_connection.backup(
                target_connection,
                pages=PAGES_PER_STEP,
                progress=lambda _, remaining, pages: progress(pages - remaining, pages),
            )
            target_connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as exc:
        raise errors.StoreUnavailable(f"{problem}: {exc}") from exc


def _open_source(source: Path) -> sqlite3.Connection:
    """Open a database to read it, also in a folder that this process cannot write to.

    SQLite shares a database by files beside it. Where it can create none and there are none, no
    server uses the database, and nobody changes it.
    """
    is_shared = any(source.with_name(source.name + ending).exists() for ending in LOG_ENDINGS)
    if os.access(source.parent, os.W_OK) or is_shared:
        return sqlite3.connect(source, BUSY_TIMEOUT_SECONDS)
    return sqlite3.connect(f"{source.absolute().as_uri()}?immutable=1", uri=True)


def restore_backup(file: Path, folder: Path) -> Contents:
    """Put a backup into a data folder that has no database, and verify what is put there.

    Raises:
        StoreUnavailable: the folder has a database, a server uses it, or it cannot be written.
        StoreCorrupted: the file is not a database of Akin, or is damaged.
    """
    if not file.is_file():
        raise errors.StoreUnavailable(f"there is no file {file}")
    log = _log_path(file)
    if log.exists() and log.stat().st_size:
        # Writes can be in the log alone.
        raise errors.StoreUnavailable(
            f"{file} is a database with a log, {log.name}: make a backup of it with akin backup"
        )
    with lock_folder(folder):
        database = folder / DATABASE
        # SQLite would apply a log of a former database to the restored one.
        logs = (database.with_name(DATABASE + ending) for ending in LOG_ENDINGS)
        for path in (database, *logs):
            if path.exists():
                raise errors.StoreUnavailable(
                    f"{folder} has a database already, {path.name}: restore elsewhere"
                )
        with _name_in_errors(database, "cannot be restored"):
            remove_partials(folder)
            files.require_room(folder, file.stat().st_size, 0)
            make_private(folder)
        with _name_in_errors(database, "cannot be restored"), _create_partial(database) as partial:
            shutil.copyfile(file, partial)
            contents = verify_database(partial, file)
            # Snapshots of the index can hold writes that came after the backup.
            for snapshots in list_snapshot_folders(folder):
                remove_snapshot(snapshots)
            _forget_shared_indexes(partial)
            _publish(partial, database)
    return contents


def _forget_shared_indexes(database: Path) -> None:
    """Forget the collections of shared indexes, which can hold later writes as well."""
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE name = 'shared_indexes'")
        if tables.fetchone():  # a backup of an earlier version has none
            connection.execute("DELETE FROM shared_indexes")


def verify_database(file: Path, origin: Path) -> Contents:
    """Check every page of a database that no server uses, and return what it holds.

    Args:
        file: the database.
        origin: the file that it was copied from, which errors name.

    Raises:
        StoreCorrupted: the file is not a database of Akin, is damaged, or a newer version of Akin
            wrote it.
    """
    uri = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            _check_pages(connection)
            row = connection.execute(
                """SELECT (SELECT count(*) FROM items JOIN catalogs USING (catalog_id)
                              WHERE NOT deleted AND name IS NOT NULL),
                          (SELECT count(*) FROM users JOIN catalogs USING (catalog_id)
                              WHERE name IS NOT NULL),
                          (SELECT value FROM counters WHERE name = 'sequence')"""
            ).fetchone()
        except errors.StoreCorrupted as exc:
            raise errors.StoreCorrupted(f"{origin}: {exc}") from exc
        except sqlite3.OperationalError as exc:
            raise errors.StoreCorrupted(f"{origin} is not a database of Akin") from exc
        except sqlite3.Error as exc:
            raise errors.StoreCorrupted(f"{origin} is damaged: {exc}") from exc
    return Contents(*row)


def _check_pages(connection: sqlite3.Connection) -> None:
    """Check the version and every page of a database.

    Raises:
        StoreCorrupted: a newer version of Akin wrote it, or it is damaged.
    """
    check_version(connection)
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok" or connection.execute("PRAGMA foreign_key_check").fetchone():
        raise errors.StoreCorrupted("the database is damaged")


@contextmanager
def _create_partial(target: Path) -> Iterator[Path]:
    """Yield an empty private file beside `target`; it is removed at the end if it is still there.

    Files that killed processes have left for the same target are removed first.
    """
    _remove_abandoned(target)
    partial = target.with_name(f"{target.name}.{uuid4().hex}.partial")
    try:
        files.create_file(partial)
        yield partial
    finally:
        for ending in ("", *LOG_ENDINGS):
            with suppress(OSError):
                partial.with_name(partial.name + ending).unlink()


def _remove_abandoned(target: Path) -> None:
    """Remove old partial files of a target; another process may be writing a new one."""
    with suppress(OSError):
        for path in target.parent.iterdir():
            is_old = time.time() - path.lstat().st_mtime > ABANDONED_SECONDS
            if is_partial(path, target.name) and is_old:
                path.unlink()


@contextmanager
def _name_in_errors(path: Path, problem: str) -> Iterator[None]:
    """Name a path in errors of the disk.

    Raises:
        StoreUnavailable: the disk fails; the message names the path.
    """
    try:
        yield
    except FileExistsError as exc:
        raise errors.StoreUnavailable(f"{path} exists already: choose another file") from exc
    except OSError as exc:
        raise errors.StoreUnavailable(f"{path} {problem}: {exc.strerror}") from exc


def _log_path(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _publish(partial: Path, target: Path) -> None:
    """Give a complete file its name, so that the name survives a power loss.

    Raises:
        FileExistsError: the name is taken.
    """
    files.sync(partial)
    try:
        os.link(partial, target)
        partial.unlink()
    except FileExistsError:
        raise
    except OSError:
        # Some file systems, such as FAT, have no links.
        if target.exists():
            raise FileExistsError(target) from None
        partial.rename(target)
    files.sync(target.parent)
