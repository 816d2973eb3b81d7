"""Opens the database that the settings choose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import structlog

from service import errors
from service.domain.generations import Generation
from service.extras import describe_installation
from service.storage.data_folder import create_data_folder
from service.storage.database import Database
from service.storage.duties import Duties, FixedDuties
from service.storage.sqlite.sqlite_database import SqliteDatabase, prepare_folder

if TYPE_CHECKING:
    from service.storage.postgres.snapshot_shelf import PostgresShelf

# Time for which a start waits for a database server that cannot be reached, such as one that starts
# at the same time or is being replaced.
START_WAIT_SECONDS = 60.0


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


async def wait_for_store(address: str, seconds: float = START_WAIT_SECONDS) -> None:
    """Wait until the database can be reached, which can start at the same time as this process.

    Args:
        address: of a PostgreSQL server; empty for the database file of one machine.
        seconds: how long to wait.

    Raises:
        StoreUnavailable: the address is not valid, the packages for PostgreSQL are not installed,
            or the server cannot be reached in this time.
    """
    if not address:
        return
    _import_postgres()
    from service.storage.postgres.postgres_connections import (  # noqa: PLC0415
        complete_address,
        wait_for_server,
    )
    from service.storage.postgres.postgres_errors import describe_error  # noqa: PLC0415

    reasons: list[str] = []

    def note(exc: Exception) -> None:
        reasons.append(describe_error(exc))
        if len(reasons) == 1:
            structlog.get_logger().warning(
                "store_unavailable_at_start", reason=reasons[0], wait_seconds=seconds
            )

    try:
        async with asyncio.timeout(seconds):
            await wait_for_server(complete_address(address), note)
    except TimeoutError:
        reason = reasons[-1] if reasons else "the connection timed out"
        raise errors.StoreUnavailable(f"the store cannot be used: {reason}") from None


def _open_postgres(address: str, clock_ns: Callable[[], int]) -> Database:
    return _import_postgres().PostgresDatabase(address, clock_ns)  # type: ignore[no-any-return]


def _import_postgres() -> ModuleType:
    """Return the module of the database.

    Raises:
        StoreUnavailable: the packages that it needs are not installed.
    """
    try:
        from service.storage.postgres import postgres_database  # noqa: PLC0415
    except ImportError as exc:
        raise errors.StoreUnavailable(
            f"the packages for PostgreSQL are not installed: {describe_installation('postgres')}"
        ) from exc
    return postgres_database
