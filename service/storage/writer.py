"""Group commit: one thread runs all queued operations in one transaction.

A commit waits for the disk, so concurrent writes share it. Each operation runs in a savepoint of
its own: an operation that raises changes nothing and does not affect the others.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from service.storage.write_queue import Job, WriteQueue

_T = TypeVar("_T")


def read_last_sequence(connection: sqlite3.Connection) -> int:
    """Return the sequence number of the last write."""
    (value,) = connection.execute("SELECT value FROM counters WHERE name = 'sequence'").fetchone()
    return int(value)


class Commits:
    """The commits that this process knows of: the last one, and who listens for the next."""

    def __init__(self, last_sequence: int) -> None:
        self.last_sequence = last_sequence
        self._listeners: list[Callable[[int], None]] = []

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call `listener` in the event loop with the last sequence number after each commit."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.remove(listener)

    def announce(self, sequence: int) -> None:
        """Tell the listeners of a commit that this process or another one made."""
        self.last_sequence = max(sequence, self.last_sequence)
        for listener in tuple(self._listeners):
            listener(sequence)


class Transaction:
    """The connection, the time and the sequence numbers of one group of operations.

    `next_sequence` takes the next number, which is not reused even if the operation fails later.
    """

    def __init__(self, connection: sqlite3.Connection, now_us: int) -> None:
        self.connection = connection
        self.now_us = now_us
        self.next_sequence = itertools.count(read_last_sequence(connection) + 1).__next__
        self._changes_before = connection.total_changes

    def finish(self) -> int | None:
        """Commit, or roll back without waiting for the disk if nothing changed.

        Returns:
            The last sequence number; None if nothing changed.
        """
        if self.connection.total_changes == self._changes_before:
            self.connection.execute("ROLLBACK")
            return None
        sequence = self.next_sequence() - 1
        self.connection.execute(
            "UPDATE counters SET value = ? WHERE name = 'sequence'", (sequence,)
        )
        self.connection.execute("COMMIT")
        return sequence


class GroupCommit:
    """Runs operations in the writer thread, and returns their results once they are on disk.

    It belongs to the event loop that created it. There it announces each commit, before the callers
    of the operations continue.
    """

    def __init__(
        self, connection: sqlite3.Connection, clock_ns: Callable[[], int], commits: Commits
    ) -> None:
        self._connection = connection
        self._clock_ns = clock_ns
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
        """Run an operation on about `rows` rows, and return its result after the commit.

        Args:
            operation: what to run.
            rows: about as many rows as it writes.
            needs_caller: do not run it if the caller has left before its turn.

        Raises:
            queue.Full: too many operations are queued.
            sqlite3.Error: the database failed; nothing was stored.
            AkinError: raised by the operation; nothing was stored.
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
            try:
                sequence, outcomes = self._commit(jobs)
            except Exception as exc:  # noqa: BLE001  (the callers get it, and the thread continues)
                sequence, outcomes = None, [exc] * len(jobs)
            self._loop.call_soon_threadsafe(self._answer, jobs, outcomes, sequence)

    def _commit(self, jobs: list[Job]) -> tuple[int | None, list[Any]]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(self._connection, self._clock_ns() // 1_000)
            outcomes = [self._attempt(job, transaction) for job in jobs]
            sequence = transaction.finish()
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return sequence, outcomes

    def _attempt(self, job: Job, transaction: Transaction) -> object:
        if job.needs_caller and job.future.cancelled():
            return None
        self._connection.execute("SAVEPOINT operation")
        try:
            outcome = job.operation(transaction)
        except Exception as exc:
            if not self._connection.in_transaction:
                raise  # the failure, such as a full disk, ended the whole transaction
            self._connection.execute("ROLLBACK TO operation")
            outcome = exc
        self._connection.execute("RELEASE operation")
        return outcome

    def _answer(self, jobs: list[Job], outcomes: list[Any], sequence: int | None) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue  # the caller left
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        # The callers continue in the next turn of the event loop.
        if sequence is not None:
            self._commits.announce(sequence)
