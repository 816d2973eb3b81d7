"""Connections to the database file, its schema, and SQLite's errors as ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from service import errors

# Longest wait of a statement for a lock that another process holds.
BUSY_TIMEOUT_SECONDS = 10.0

# Primary result codes of failures that can pass without a repair of the database.
_TEMPORARY_CODES = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
    }
)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database without automatic transactions and with foreign keys enforced.

    Any thread may use the connection, but only one at a time.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the database lacks, each in one transaction.

    Raises:
        StoreCorrupted: a newer version of Akin wrote the database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    migrations = sorted(
        (path for path in resources.files("service.storage.migrations").iterdir()),
        key=lambda path: path.name,
    )
    scripts = [path.read_text() for path in migrations if path.name.endswith(".sql")]
    if version > len(scripts):
        raise errors.StoreCorrupted(
            f"the database has schema version {version}, but this version of Akin supports only "
            f"{len(scripts)}: run the newer version"
        )
    # A migration replaces a table by a copy while rows of other tables refer to it.
    connection.execute("PRAGMA foreign_keys = OFF")
    for number in range(version, len(scripts)):
        connection.executescript(
            f"BEGIN EXCLUSIVE;\n{scripts[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"
        )
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise SQLite's errors as AkinErrors; nothing outside of storage handles sqlite3.

    Raises:
        StoreFull: the disk has no room.
        StoreCorrupted: the database is damaged.
        StoreUnavailable: the disk cannot be used now.
    """
    try:
        yield
    except sqlite3.Error as exc:
        # Extended result codes keep the primary one in their low byte.
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise errors.StoreFull("the disk is full") from exc
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise errors.StoreCorrupted("the database is damaged") from exc
        if code in _TEMPORARY_CODES:
            raise errors.StoreUnavailable("the disk cannot be used now") from exc
        raise
