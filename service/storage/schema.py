"""Opens connections and brings the database up to the newest numbered migration."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from service import errors

BUSY_TIMEOUT_SECONDS = 10.0


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Opens the database; transactions are begun by hand, foreign keys hold.

    The connection may be used from any thread, by one at a time.
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
    """Applies the migrations that the database has not seen, each in one transaction.

    Raises:
        StoreCorrupted: the database was written by a newer version of Akin.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    migrations = sorted(
        (path for path in resources.files("service.storage.migrations").iterdir()),
        key=lambda path: path.name,
    )
    scripts = [path.read_text() for path in migrations if path.name.endswith(".sql")]
    if version > len(scripts):
        raise errors.StoreCorrupted(
            f"the database has schema version {version}, but this version of Akin knows only "
            f"{len(scripts)}: run the newer version"
        )
    # A table whose rows others refer to is replaced by a copy, which the checks would not allow.
    connection.execute("PRAGMA foreign_keys = OFF")
    for number in range(version, len(scripts)):
        connection.executescript(
            f"BEGIN EXCLUSIVE;\n{scripts[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"
        )
    connection.execute("PRAGMA foreign_keys = ON")


_FOR_NOW = frozenset(
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


@contextmanager
def translated() -> Iterator[None]:
    """Turns SQLite's errors into ours; nobody above sees sqlite3."""
    try:
        yield
    except sqlite3.Error as exc:
        # Extended result codes keep the primary one in their low byte.
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise errors.StoreFull("the disk is full") from exc
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise errors.StoreCorrupted("the database is damaged") from exc
        if code in _FOR_NOW:
            raise errors.StoreUnavailable("the disk cannot be used for now") from exc
        raise
