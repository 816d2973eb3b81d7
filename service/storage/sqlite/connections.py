"""Connections to the database file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

# Longest wait of a statement for a lock that another process holds.
BUSY_TIMEOUT_SECONDS = 10.0


# Size to which the write-ahead log is cut once its content is in the database. It holds 4 MB while
# nothing reads for long; during a backup it grows by each write.
MAX_LOG_BYTES = 16 * 1024 * 1024


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database without automatic transactions and with foreign keys enforced.

    Any thread may use the connection, but only one at a time.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Only a database without a page can get the map that is needed to give free pages back.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA journal_size_limit = {MAX_LOG_BYTES}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
    return connection
