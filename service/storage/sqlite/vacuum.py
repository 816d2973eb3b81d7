"""Writes the database of a stopped server again, without its free and partly filled pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from service import errors, files
from service.storage.data_folder import DATABASE, remove_partials
from service.storage.sqlite.backup import verify_database
from service.storage.sqlite.connections import BUSY_TIMEOUT_SECONDS

# Steps of SQLite's virtual machine between two reports of the progress: some 10 ms.
STEPS_PER_REPORT = 100_000


class FileSizes(NamedTuple):
    """The size of the database in bytes before and after."""

    bytes_before: int
    bytes_after: int


def vacuum_database(folder: Path, progress: Callable[[int, int], None]) -> FileSizes:
    """Replace the database of a data folder by a compact copy, and verify the copy before.

    At any moment the folder has either the old database or the new one. Afterwards, pages that
    become free can be given back while a server runs.

    Args:
        folder: the data folder, whose lock is held.
        progress: called with the number of written bytes and about all bytes.

    Raises:
        StoreUnavailable: the disk has no room for the copy, another process reads the database, or
            the disk fails.
        StoreCorrupted: the database is damaged.
    """
    database = (folder / DATABASE).resolve()  # a link to another disk stays one
    bytes_before = database.stat().st_size
    partial = database.with_name(f"{DATABASE}.{uuid4().hex}.partial")
    try:
        with _explain(database), closing(_open_alone(database)) as connection:
            expected = _count_bytes(connection)
            remove_partials(database.parent)
            files.require_room(database.parent, expected, 0)
            files.create_file(partial)
            connection.set_progress_handler(
                lambda: progress(partial.stat().st_size, expected), STEPS_PER_REPORT
            )
            connection.execute("VACUUM INTO ?", (str(partial),))
            verify_database(partial, database)
            files.sync(partial)
            # The connection keeps every other process out until the new file has the name.
            partial.replace(database)
            files.sync(database.parent)
    finally:
        partial.unlink(missing_ok=True)
    return FileSizes(bytes_before, database.stat().st_size)


def _open_alone(database: Path) -> sqlite3.Connection:
    """Open a database that no other process has open, without a write-ahead log."""
    connection = sqlite3.connect(database, BUSY_TIMEOUT_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _count_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the pages that are in use."""
    pages, free_pages, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free_pages) * page_bytes)


@contextmanager
def _explain(database: Path) -> Iterator[None]:
    """Raise errors of the disk and of SQLite as AkinErrors that name the database.

    Raises:
        StoreUnavailable: the disk failed.
        StoreCorrupted: the database is damaged.
        KeyboardInterrupt: Ctrl-C ended the statement.
    """
    try:
        yield
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from exc
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise errors.StoreCorrupted(f"{database} is damaged: {exc}") from exc
        raise errors.StoreUnavailable(f"{database} cannot be vacuumed: {exc}") from exc
    except OSError as exc:
        raise errors.StoreUnavailable(
            f"{database} cannot be vacuumed: {exc.strerror or exc}"
        ) from exc
