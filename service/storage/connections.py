"""Connections to the database file, and its schema."""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path

from service import errors

# Longest wait of a statement for a lock that another process holds.
BUSY_TIMEOUT_SECONDS = 10.0


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
