"""The database: grouped durable writes, consistent reads, and one sequence of numbered writes.

All writes run in one thread and share commits. Reads run in other threads, on connections of their
own, and see only what is committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from service.storage.connections import connect, translate_errors
from service.storage.data_folder import prepare_folder
from service.storage.writer import GroupCommit, Transaction, read_last_sequence

T = TypeVar("T")

READER_THREADS = 2


class Database:
    """The open database of one process. Create it with `open`, and end it with `close`.

    `clock_us` returns the time in microseconds since 1970 UTC. `last_sequence` is the number of the
    last write that this process knows of. `store_id` identifies the data, also in a copy of it.
    """

    def __init__(self, path: Path, clock_us: Callable[[], int]) -> None:
        self.clock_us = clock_us
        self._path = path
        self._local = threading.local()
        self._read_connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="akin-reader")
        self._listeners: list[Callable[[int], None]] = []
        self._write_connection = connect(path)
        self._writer = GroupCommit(self._write_connection, clock_us, self._announce)
        self.last_sequence = read_last_sequence(self._write_connection)
        self.store_id = _read_store_id(self._write_connection)

    @classmethod
    async def open(cls, folder: Path, clock_us: Callable[[], int]) -> Self:
        """Open the database in a data folder, and create both if they are missing.

        Args:
            folder: the data folder; `lock_folder` keeps it to the processes of one server.
            clock_us: returns the time in microseconds since 1970 UTC.

        Raises:
            StoreUnavailable: the folder cannot be used.
            StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
        """
        path = prepare_folder(folder)
        with translate_errors():
            return cls(path, clock_us)

    async def close(self) -> None:
        """Finish the queued writes, move the write-ahead log into the database, and close it."""
        await self._writer.close()
        self._readers.shutdown()
        for connection in self._read_connections:
            connection.close()
        with translate_errors():
            self._write_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._write_connection.close()

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call `listener` in the event loop with the last sequence number after each commit."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.remove(listener)

    @property
    def queued_writes(self) -> int:
        """The number of writes that wait for the next commit."""
        return self._writer.queued

    async def refresh(self) -> int:
        """Look for commits of other processes, and return the last sequence number."""
        sequence = await self.read(read_last_sequence)
        if sequence > self.last_sequence:
            self._announce(sequence)
        return self.last_sequence

    def _announce(self, sequence: int) -> None:
        self.last_sequence = max(sequence, self.last_sequence)
        for listener in tuple(self._listeners):
            listener(sequence)

    async def write(self, operation: Callable[[Transaction], T]) -> T:
        """Run an operation in the writer's thread, and return its result once it is on disk.

        Raises:
            Overloaded: too many writes are queued.
            StoreFull, StoreUnavailable, StoreCorrupted: the store failed; nothing was stored.
            AkinError: raised by the operation; nothing was stored.
        """
        return await self._writer.run(operation)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a connection that sees what is committed, and return its result.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

        def work() -> T:
            with translate_errors():
                return query(self._read_connection())

        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _read_connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened on first use."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._read_connections.append(connection)
        return connection


def _read_store_id(connection: sqlite3.Connection) -> str:
    (store_id,) = connection.execute("SELECT store_id FROM identity").fetchone()
    return str(store_id)
