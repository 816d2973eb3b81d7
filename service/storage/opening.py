"""Opens the database that the settings choose."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from service.storage.database import Database
from service.storage.sqlite.sqlite_database import SqliteDatabase, prepare_folder


def open_database(
    folder: Path,
    clock_ns: Callable[[], int],
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> Database:
    """Open the database in a data folder, and create both if they are missing.

    Args:
        folder: the data folder; `lock_folder` keeps it to the processes of one server.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
        monotonic_ns: as `SqliteDatabase` takes it.

    Raises:
        StoreUnavailable: the folder cannot be used.
        StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
    """
    return SqliteDatabase(prepare_folder(folder), clock_ns, monotonic_ns)
