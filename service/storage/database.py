"""The database: grouped durable writes, consistent reads, and one sequence of numbered writes.

All writes run in one thread and share commits. Reads run in other threads, on connections of their
own, and see only what is committed.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import NoReturn, TypeVar

from service import errors
from service.domain.generations import Generation, GenerationState, LiveGeneration
from service.storage.connections import connect
from service.storage.writer import (
    Commits,
    GroupCommit,
    Transaction,
    read_last_sequence,
)

_T = TypeVar("_T")


class ReadKind(Enum):
    """What a read is for; reads of one kind never wait for those of another.

    CHANGES: short reads of new writes, on which every read of one's own writes waits.
    ROWS: a bounded number of rows by their keys.
    SCAN: reads that may take long: pages of items with their texts, counts, analyses.
    """

    CHANGES = auto()
    ROWS = auto()
    SCAN = auto()


# The reading threads of each kind. Changes have one, because followers read them in short rounds.
READER_THREADS = {ReadKind.CHANGES: 1, ReadKind.ROWS: 2, ReadKind.SCAN: 2}

# The states of generations whose rows are being removed.
REMOVED_STATES = f"('{GenerationState.CANCELLED}', '{GenerationState.DROPPED}')"

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


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise SQLite's errors as AkinErrors; nothing outside of storage handles sqlite3.

    Raises:
        StoreFull, StoreCorrupted, StoreUnavailable: as `raise_translated` raises them.
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise_translated(exc)


def raise_translated(exc: sqlite3.Error) -> NoReturn:
    """Raise SQLite's error as an AkinError, or unchanged if the disk is not the cause.

    Raises:
        StoreFull: the disk has no room.
        StoreCorrupted: the database is damaged.
        StoreUnavailable: the disk cannot be used now.
    """
    # Extended result codes keep the primary one in their low byte.
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        raise errors.StoreFull("the disk is full") from exc
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise errors.StoreCorrupted("the database is damaged") from exc
    if code in _TEMPORARY_CODES:
        raise errors.StoreUnavailable("the disk cannot be used now") from exc
    raise exc


class Database:
    """The open database of one process. Create it in an event loop, and end it with `close`.

    `commits` tells of every write. `store_id` identifies the data, also in a copy of it.

    Args:
        path: the database file, which has the newest schema.
        clock_ns: returns the time in nanoseconds since 1970 UTC.

    Raises:
        StoreUnavailable, StoreCorrupted: the file cannot be used, or it is damaged.
    """

    def __init__(self, path: Path, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._path = path
        self._local = threading.local()
        self._read_connections: list[sqlite3.Connection] = []
        self._readers = {
            kind: ThreadPoolExecutor(threads, thread_name_prefix=f"akin-read-{kind.name.lower()}")
            for kind, threads in READER_THREADS.items()
        }
        with translate_errors():
            self._write_connection = connect(path)
            self.commits = Commits(read_last_sequence(self._write_connection))
            self._writer = GroupCommit(self._write_connection, clock_ns, self.commits)
            self.store_id = _read_store_id(self._write_connection)

    async def close(self) -> None:
        """Finish the queued writes, move the write-ahead log into the database, and close it."""
        await self._writer.close()
        for readers in self._readers.values():
            readers.shutdown()
        for connection in self._read_connections:
            connection.close()
        with translate_errors():
            self._write_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._write_connection.close()

    def now_us(self) -> int:
        """Return the time in microseconds since 1970 UTC."""
        return self._clock_ns() // 1_000

    @property
    def queued_writes(self) -> int:
        """The number of writes that wait for the next commit."""
        return self._writer.queued

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    async def refresh(self) -> int:
        """Look for commits of other processes, and return the last sequence number."""
        sequence = await self.read(read_last_sequence, ReadKind.CHANGES)
        if sequence > self.commits.last_sequence:
            self.commits.announce(sequence)
        return self.commits.last_sequence

    async def write(
        self,
        operation: Callable[[Transaction], _T],
        rows: int = 1,
        *,
        needs_caller: bool = False,
    ) -> _T:
        """Run an operation in the writer's thread, and return its result once it is on disk.

        Args:
            operation: changes the database.
            rows: about as many rows as it writes; large operations yield to small ones.
            needs_caller: do not run it if the caller has left before its turn.

        Raises:
            Overloaded: too many writes are queued.
            StoreFull, StoreUnavailable, StoreCorrupted: the store failed; nothing was stored.
            AkinError: raised by the operation; nothing was stored.
        """
        try:
            return await self._writer.run(operation, rows, needs_caller=needs_caller)
        except queue.Full:
            raise errors.Overloaded("too many writes are queued") from None
        except sqlite3.Error as exc:
            raise_translated(exc)

    async def write_to_catalog(
        self,
        catalog_id: int,
        operation: Callable[[Transaction, Sequence[LiveGeneration]], _T],
        rows: int = 1,
    ) -> _T:
        """Run an operation on a catalog, with all generations of it that writes go to.

        It does not run if the caller has left before its turn.

        Raises:
            CatalogNotFound: the catalog was deleted.
            AkinError: as `write` raises it.
        """
        return await self.write(
            lambda transaction: operation(
                transaction, _read_live_generations(transaction.connection, catalog_id)
            ),
            rows,
            needs_caller=True,
        )

    async def read(
        self, query: Callable[[sqlite3.Connection], _T], kind: ReadKind = ReadKind.ROWS
    ) -> _T:
        """Run a query on a connection that sees what is committed, and return its result.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

        def work() -> _T:
            try:
                return query(self._read_connection())
            except sqlite3.Error as exc:
                raise_translated(exc)

        return await asyncio.get_running_loop().run_in_executor(self._readers[kind], work)

    def _read_connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened on first use."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._read_connections.append(connection)
        return connection


def _read_live_generations(connection: sqlite3.Connection, catalog_id: int) -> list[LiveGeneration]:
    """Return the generations that writes to a catalog go to.

    Raises:
        CatalogNotFound: the catalog was deleted.
    """
    rows = connection.execute(
        f"""SELECT generation_id, space_id, state FROM generations
            WHERE catalog_id = ? AND state NOT IN {REMOVED_STATES}""",
        (catalog_id,),
    ).fetchall()
    if not rows:
        raise errors.CatalogNotFound("there is no such catalog")
    return [
        LiveGeneration(Generation(catalog_id, "", generation_id, space_id), GenerationState(state))
        for generation_id, space_id, state in rows
    ]


def _read_store_id(connection: sqlite3.Connection) -> str:
    (store_id,) = connection.execute("SELECT store_id FROM identity").fetchone()
    return str(store_id)
