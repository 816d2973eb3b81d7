"""Group commit: one thread runs all queued operations in one transaction.

A commit waits for the disk, so concurrent writes share it. An operation that raises changes nothing
and does not affect the others.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from service.domain.generations import LiveGeneration
from service.storage.sql import Connection
from service.storage.write_queue import Job, WriteQueue

_T = TypeVar("_T")


class Commits:
    """The commits that this process knows of: the last one, and who listens for the next.

    `doubts` grows whenever the store may have lost commits that this process knows of, as after a
    failover. What was read before must then be confirmed by the store.
    """

    def __init__(self, last_sequence: int) -> None:
        self.last_sequence = last_sequence
        self.doubts = 0
        self._listeners: list[Callable[[int], None]] = []

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call `listener` in the event loop with the last sequence number after each commit."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.remove(listener)

    def announce(self, sequence: int) -> None:
        """Tell the listeners of a commit that this process or another one made, once."""
        if sequence <= self.last_sequence:
            return
        self.last_sequence = sequence
        self._wake()

    def doubt(self) -> None:
        """Let the listeners check whether the store still has what they have read."""
        self.doubts += 1
        self._wake()

    def go_back(self, sequence: int) -> None:
        """Take note that the store has lost commits, and that its last number is now `sequence`."""
        structlog.get_logger().error(
            "commits_lost", known_sequence=self.last_sequence, sequence=sequence
        )
        self.last_sequence = sequence
        self.doubt()

    def _wake(self) -> None:
        for listener in tuple(self._listeners):
            listener(self.last_sequence)


class Transaction:
    """The connection, the times and the sequence numbers of one group of operations.

    `next_sequence` takes the next number, which is not reused even if the operation fails later.
    `live_generations` has those of the catalogs that were written to, by catalog id. An operation
    that changes the generations of a catalog replaces the mapping by an empty one.

    Args:
        connection: the connection.
        last_sequence: the sequence number of the last write before.
        now_us: the time in microseconds since 1970 UTC.
        lease_time_us: the time in microseconds of a clock that all processes over the same data
            share. Leases of processes that have ended expire by it.
        live_generations: those that are known already; operations add others.
        shared_time_us: the time in microseconds since 1970 UTC by a clock that all processes over
            the same data share. It decides what is old enough to be removed for good. None for
            `now_us`.
    """

    def __init__(
        self,
        connection: Connection,
        last_sequence: int,
        now_us: int,
        lease_time_us: int,
        live_generations: dict[int, Sequence[LiveGeneration]] | None = None,
        shared_time_us: int | None = None,
    ) -> None:
        self.connection = connection
        self.now_us = now_us
        self.lease_time_us = lease_time_us
        self.shared_time_us = now_us if shared_time_us is None else shared_time_us
        self.live_generations = {} if live_generations is None else live_generations
        self.next_sequence = itertools.count(last_sequence + 1).__next__


class WriteSession(Protocol):
    """Runs groups of operations in transactions; only the writer's thread uses it."""

    @property
    def previous_sequence(self) -> int:
        """The sequence number of the last write before the latest transaction."""

    def commit(self, jobs: Sequence[Job]) -> tuple[int | None, Sequence[Any]]:
        """Run jobs in one transaction.

        Returns:
            The last sequence number, None if nothing changed; and the result of each job, or the
            exception that it raised.

        Raises:
            AkinError: the store failed, and nothing was stored.
        """

    def close(self) -> None:
        """Close the connection."""


class GroupCommit:
    """Runs operations in the writer thread, and returns their results once they are on disk.

    It belongs to the event loop that created it. There it announces each commit, before the callers
    of the operations continue.
    """

    def __init__(self, session: WriteSession, commits: Commits) -> None:
        self._session = session
        self._commits = commits
        self._loop = asyncio.get_running_loop()
        self._jobs = WriteQueue()
        self._thread = threading.Thread(target=self._work, name="akin-writer", daemon=True)
        self._thread.start()

    async def run(
        self,
        operation: Callable[[Transaction], _T],
        rows: int = 1,
        *,
        needs_caller: bool = False,
    ) -> _T:
        """Run an operation, and return its result after the commit.

        Args:
            operation: what to run.
            rows: about as many rows as it writes; large operations yield to small ones.
            needs_caller: do not run it if the caller has left before its turn.

        Raises:
            queue.Full: too many operations are queued.
            AkinError: the store failed or the operation raised it; nothing was stored.
        """
        future: asyncio.Future[_T] = self._loop.create_future()
        self._jobs.put(Job(operation, future, rows, needs_caller))
        return await future

    @property
    def queued(self) -> int:
        """The number of operations that wait for the next commit."""
        return len(self._jobs)

    async def close(self) -> None:
        """Finish the queued operations, and end the thread."""
        self._jobs.close()
        await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        while jobs := self._jobs.take():
            known_sequence = self._commits.last_sequence
            try:
                sequence, outcomes = self._session.commit(jobs)
                lost_from = self._session.previous_sequence
            except Exception as exc:  # noqa: BLE001  (the callers get it, and the thread continues)
                sequence, outcomes = None, [exc] * len(jobs)
                lost_from = known_sequence
            if lost_from < known_sequence:
                # The transaction began later, and must have seen all numbers that were known.
                self._loop.call_soon_threadsafe(self._commits.go_back, lost_from)
            self._loop.call_soon_threadsafe(self._answer, jobs, outcomes, sequence)

    def _answer(self, jobs: Sequence[Job], outcomes: Sequence[Any], sequence: int | None) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue  # the caller left
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        # The callers continue in the next turn of the event loop. A notification of the same commit
        # can have come before.
        if sequence is not None and sequence > self._commits.last_sequence:
            self._commits.announce(sequence)
