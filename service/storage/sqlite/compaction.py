"""The size of the database file: what of it is free, and giving that back to the file system."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass

from service.storage.sql import Connection
from service.storage.sqlite.connections import connect
from service.storage.sqlite.sqlite_database import SqliteDatabase
from service.storage.sqlite.sqlite_errors import translate_errors
from service.storage.writer import Transaction


@dataclass(frozen=True, slots=True)
class FileUsage:
    """The pages of the database file and the bytes of its write-ahead log.

    Free pages hold nothing; later writes use them first. `is_compactable` tells that they can be
    given back while the server runs; those of a database of version 0.2.0 only by `akin vacuum`.
    """

    pages: int
    free_pages: int
    page_bytes: int
    log_bytes: int
    is_compactable: bool


class CompactionStore:
    """The file of the database.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def read_usage(self) -> FileUsage:
        """Return what the file consists of."""

        def query(connection: Connection) -> FileUsage:
            pages, free_pages, page_bytes, auto_vacuum = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size", "auto_vacuum")
            )
            return FileUsage(pages, free_pages, page_bytes, self._log_bytes(), bool(auto_vacuum))

        return await self._database.read(query)

    async def release_pages(self, count: int) -> None:
        """Give up to `count` free pages back; the pages behind them move into their place."""

        def operation(transaction: Transaction) -> None:
            connection = transaction.connection
            for _ in range(count):
                # One call with a larger number would be stepped only once, as it returns no rows.
                connection.execute("PRAGMA incremental_vacuum(1)")
            # The transaction is committed only if a row was written.
            connection.execute("UPDATE counters SET value = value WHERE name = 'sequence'")

        await self._database.write(operation)

    async def truncate_log(self) -> None:
        """Move the write-ahead log into the database and empty it, unless others are using it."""

        def work() -> None:
            with translate_errors(), closing(connect(self._database.path)) as connection:
                connection.execute("PRAGMA busy_timeout = 0")
                # The first step copies while others write, so that the second one is short.
                for step in ("PASSIVE", "TRUNCATE"):
                    connection.execute(f"PRAGMA wal_checkpoint({step})").fetchone()

        await asyncio.get_running_loop().run_in_executor(None, work)

    def _log_bytes(self) -> int:
        path = self._database.path
        try:
            return path.with_name(f"{path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0
