"""A store's threads and connections: durable writes, consistent reads, one sequence.

Writes go through one thread and share commits; reads use connections of their own, in threads of
their own, and see only what is committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from service.storage import items
from service.storage.folder import prepare
from service.storage.schema import connect, translated
from service.storage.writer import GroupCommit, Transaction

P = ParamSpec("P")
T = TypeVar("T")

READER_THREADS = 2


class Core:
    """What every part of a store needs. Made by `open`, ended by `close`."""

    def __init__(self, path: Path, clock_us: Callable[[], int]) -> None:
        self._path = path
        self._clock_us = clock_us
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="akin-reader")
        self._listeners: list[Callable[[int], None]] = []
        self._writing = connect(path)
        self._writer = GroupCommit(self._writing, clock_us, self._committed)
        self.last_sequence = items.last_sequence(self._writing)
        self.store_id = _store_id(self._writing)

    @classmethod
    async def open(cls, folder: Path, clock_us: Callable[[], int]) -> Self:
        """Opens the database in `folder`, making both if need be.

        Args:
            folder: the data folder; `folder.locked` keeps it to the processes of one server.
            clock_us: the time in microseconds since 1970 UTC.

        Raises:
            StoreUnavailable: the folder cannot be used.
            StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
        """
        path = prepare(folder)
        with translated():
            return cls(path, clock_us)

    async def close(self) -> None:
        """Finishes the writes under way, folds the log into the database and lets go of it."""
        await self._writer.close()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        with translated():
            self._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writing.close()

    def listen(self, listener: Callable[[int], None]) -> None:
        """Has `listener` called in the event loop with the last sequence after each commit."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Has `listener` called no more."""
        self._listeners.remove(listener)

    @property
    def queued_writes(self) -> int:
        """How many writes wait for the disk."""
        return self._writer.queued

    async def refresh(self) -> int:
        """Learns of other processes' commits; returns the last sequence."""
        sequence = await self.read(items.last_sequence)
        if sequence > self.last_sequence:
            self._committed(sequence)
        return self.last_sequence

    def _committed(self, sequence: int) -> None:
        self.last_sequence = max(sequence, self.last_sequence)
        for listener in tuple(self._listeners):
            listener(sequence)

    async def write(self, operation: Callable[[Transaction], T]) -> T:
        """Runs an operation in the writer's thread; returns what it returned once it is on disk.

        Raises:
            AkinError: what the operation raised, or that the store failed; nothing was stored.
        """
        return await self._writer.run(operation)

    async def read(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs a function on a connection that sees what is committed."""

        def work() -> T:
            with translated():
                return function(self._reading(), *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _reading(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._connections.append(connection)
        return connection


def _store_id(connection: sqlite3.Connection) -> str:
    (store_id,) = connection.execute("SELECT store_id FROM identity").fetchone()
    return str(store_id)
