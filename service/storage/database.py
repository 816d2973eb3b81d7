"""The database port: grouped durable writes, consistent reads, one sequence of numbered writes.

All writes of a process run in one thread and share commits. Reads run in other threads, on
connections of their own, and see only what is committed.
"""

from __future__ import annotations

import asyncio
import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Protocol, TypeVar

from service import errors
from service.domain.generations import Generation, GenerationState, LiveGeneration
from service.domain.items import BEGINNING, Anchor
from service.storage.item_writer import ItemWriter
from service.storage.sql import Connection
from service.storage.user_writer import UserWriter
from service.storage.writer import Commits, GroupCommit, Transaction, WriteSession

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


class ReadSource(Protocol):
    """What another process needs to read the database; it can be pickled."""

    def open(self) -> AbstractContextManager[Connection]:
        """Open a connection, whose statements all see the database as of the same moment.

        Raises:
            StoreUnavailable: the database cannot be read, at the opening or later.
        """


class Database(ABC):
    """The open database of one process. Create it in an event loop, and end it with `close`.

    `commits` announces each commit, whichever process made it. `store_id` identifies the data, also
    in a copy of it.

    Args:
        session: writes to the database.
        last_sequence: the sequence number of the last write.
        store_id: identifies the data.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
    """

    def __init__(
        self,
        session: WriteSession,
        last_sequence: int,
        store_id: str,
        clock_ns: Callable[[], int],
    ) -> None:
        self.commits = Commits(last_sequence)
        self._last_anchor = BEGINNING
        self.store_id = store_id
        self._clock_ns = clock_ns
        self._session = session
        self._writer = GroupCommit(session, self.commits)
        self._readers = {
            kind: ThreadPoolExecutor(threads, thread_name_prefix=f"akin-read-{kind.name.lower()}")
            for kind, threads in READER_THREADS.items()
        }

    async def close(self) -> None:
        """Finish the queued writes, and close the database."""
        await self._writer.close()
        for readers in self._readers.values():
            readers.shutdown()
        self._close_readers()
        self._session.close()

    def now_us(self) -> int:
        """Return the time in microseconds since 1970 UTC."""
        return self._clock_ns() // 1_000

    @property
    def queued_writes(self) -> int:
        """The number of writes that wait for the next commit."""
        return self._writer.queued

    async def refresh(self) -> int:
        """Look for commits of other processes, and for lost ones; return the last number."""
        known_sequence = self.commits.last_sequence
        anchor = await self.read(self.read_last_anchor, ReadKind.CHANGES)
        former, self._last_anchor = self._last_anchor, anchor
        if anchor.sequence < known_sequence:
            # The read began later, and must have seen all numbers that were known.
            self.commits.go_back(anchor.sequence)
        elif anchor.sequence == former.sequence and anchor.token != former.token:
            self.commits.doubt()
        elif anchor.sequence > self.commits.last_sequence:
            self.commits.announce(anchor.sequence)
        return self.commits.last_sequence

    @abstractmethod
    def read_last_anchor(self, connection: Connection) -> Anchor:
        """Return the last sequence number, with the token of its commit."""

    @abstractmethod
    def confirm(self, connection: Connection, anchor: Anchor, sequence: int) -> Anchor | None:
        """Return an anchor for what has been read, None if the store has lost its history.

        Args:
            connection: sees the database as of the moment at which it was read.
            anchor: the reader's former anchor.
            sequence: the number that the reader has reached.
        """

    @abstractmethod
    async def prune(self) -> int:
        """Remove a round of rows that the database kept for itself; return their number.

        Raises:
            Overloaded, StoreFull, StoreUnavailable, StoreCorrupted: nothing was removed.
        """

    @abstractmethod
    async def follow_others(self) -> bool:
        """Wait until other processes may have written; return whether there is anything new.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

    async def write(
        self,
        operation: Callable[[Transaction], _T],
        rows: int = 1,
        *,
        needs_caller: bool = False,
    ) -> _T:
        """Run an operation in the writer's thread, and return its result once it is on disk.

        Args:
            operation: changes the database. It may run a second time if another operation of its
                group fails.
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
                transaction, _list_live_generations(transaction, catalog_id)
            ),
            rows,
            needs_caller=True,
        )

    async def read(
        self,
        query: Callable[[Connection], _T],
        kind: ReadKind = ReadKind.ROWS,
        *,
        at_one_moment: bool = False,
    ) -> _T:
        """Run a query on a connection that sees what is committed, and return its result.

        Args:
            query: reads from the database.
            kind: what the read is for.
            at_one_moment: all statements of the query see the database as of the same moment.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._readers[kind], lambda: self._run_query(query, at_one_moment=at_one_moment)
        )

    async def find_replication_problem(self) -> str:
        """Return why a commit can be on one machine only; empty if that is as intended.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """
        return ""

    @property
    @abstractmethod
    def item_writer(self) -> ItemWriter:
        """How items are written to this database."""

    @property
    @abstractmethod
    def user_writer(self) -> UserWriter:
        """How users are written to this database."""

    @property
    @abstractmethod
    def read_source(self) -> ReadSource:
        """What another process needs to read the database."""

    @abstractmethod
    def _run_query(self, query: Callable[[Connection], _T], *, at_one_moment: bool) -> _T:
        """Run a query in a reading thread.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

    @abstractmethod
    def _close_readers(self) -> None:
        """Close the connections of the readers, once their threads have ended."""


def _list_live_generations(transaction: Transaction, catalog_id: int) -> Sequence[LiveGeneration]:
    """Return the generations that writes to a catalog go to, read once in a transaction.

    Raises:
        CatalogNotFound: the catalog was deleted.
    """
    live_generations = transaction.live_generations
    if catalog_id not in live_generations:
        live_generations[catalog_id] = _read_live_generations(transaction.connection, catalog_id)
    return live_generations[catalog_id]


def _read_live_generations(connection: Connection, catalog_id: int) -> list[LiveGeneration]:
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
        raise errors.CatalogNotFound("the catalog was deleted")
    return [
        LiveGeneration(Generation(catalog_id, "", generation_id, space_id), GenerationState(state))
        for generation_id, space_id, state in rows
    ]


def read_store_id(connection: Connection) -> str:
    """Return what identifies the data."""
    (store_id,) = connection.execute("SELECT store_id FROM identity").fetchone()
    return str(store_id)
