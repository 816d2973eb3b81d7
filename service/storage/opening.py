"""Opens the database that the settings choose."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from service import errors
from service.domain.generations import Generation
from service.storage.data_folder import create_data_folder
from service.storage.database import Database
from service.storage.duties import Duties, FixedDuties
from service.storage.sqlite.sqlite_database import SqliteDatabase, prepare_folder

if TYPE_CHECKING:
    from service.storage.postgres.snapshot_shelf import PostgresShelf


def open_database(
    folder: Path,
    clock_ns: Callable[[], int],
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    address: str = "",
) -> Database:
    """Open the database, which is created if it is missing.

    Args:
        folder: the data folder; `lock_folder` keeps it to the processes of one server.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
        monotonic_ns: as `SqliteDatabase` takes it.
        address: of a PostgreSQL server; empty for the database file in the data folder.

    Raises:
        StoreUnavailable: the folder or the server cannot be used, or the packages for PostgreSQL
            are not installed.
        StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
    """
    if address:
        return _open_postgres(address, clock_ns)
    return SqliteDatabase(prepare_folder(folder), clock_ns, monotonic_ns)


def prepare_store(folder: Path, address: str) -> None:
    """Create the data folder, and its database unless that is a PostgreSQL server's.

    Raises:
        StoreUnavailable: the folder cannot be used.
        StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
    """
    if address:
        create_data_folder(folder)
    else:
        prepare_folder(folder)


def open_duties(address: str, *, leads: bool) -> Duties:
    """Return the duties of this process.

    Args:
        address: of a PostgreSQL server; empty for the database file of one machine.
        leads: this process leads those of its machine.

    Raises:
        StoreUnavailable: the address is not valid.
    """
    if not (address and leads):
        return FixedDuties(leads=leads)
    from service.storage.postgres.advisory_duties import AdvisoryDuties  # noqa: PLC0415
    from service.storage.postgres.postgres_connections import complete_address  # noqa: PLC0415

    return AdvisoryDuties(complete_address(address))


def open_shelf(database: Database, address: str, generation: Generation) -> PostgresShelf | None:
    """Return where the snapshots of a generation are published.

    Args:
        database: the open database.
        address: of a PostgreSQL server; empty for the database file of one machine, whose processes
            share the folder of the snapshots.
        generation: the generation.
    """
    if not address:
        return None
    from service.storage.postgres import snapshot_shelf  # noqa: PLC0415

    return snapshot_shelf.PostgresShelf(database, address, generation.generation_id)


def _open_postgres(address: str, clock_ns: Callable[[], int]) -> Database:
    try:
        from service.storage.postgres.postgres_database import PostgresDatabase  # noqa: PLC0415
    except ImportError as exc:
        raise errors.StoreUnavailable(
            "the packages for PostgreSQL are not installed: pip install 'akin[postgres]'"
        ) from exc
    return PostgresDatabase(address, clock_ns)
