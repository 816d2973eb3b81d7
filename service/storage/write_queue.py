"""The operations that wait for the writing thread; large ones yield to small ones."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Operations that can wait for a commit; more are refused, so that no caller waits for long.
QUEUED_OPERATIONS = 10_000

# Operations in one transaction, so that the first of many does not wait for all of them.
OPERATIONS_PER_COMMIT = 1_000

# Rows that large operations write in one transaction: about 100 ms, which small ones wait for.
ROWS_PER_COMMIT = 1_000

# Operations on more rows than this are large: messages of imports, deletions of many items.
MAX_SMALL_ROWS = 16


@dataclass(frozen=True, slots=True)
class Job:
    """An operation on a `Transaction` that writes about `rows` rows, and its result.

    If it needs its caller, it does not run after the caller has left.
    """

    operation: Callable[[Any], Any]
    future: asyncio.Future[Any]
    rows: int
    needs_caller: bool = False


class WriteQueue:
    """Jobs in the order of their arrival, large ones after small ones. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._small: deque[Job] = deque()
        self._large: deque[Job] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    def put(self, job: Job) -> None:
        """Queue a job.

        Raises:
            queue.Full: too many jobs are queued.
        """
        with self._changed:
            if len(self) >= QUEUED_OPERATIONS:
                raise queue.Full
            (self._large if job.rows > MAX_SMALL_ROWS else self._small).append(job)
            self._changed.notify()

    def close(self) -> None:
        """Let `take` return an empty list once nothing is queued."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def take(self) -> list[Job]:
        """Wait for jobs, and return those of the next transaction; none after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self) or self._is_closed)
            jobs: list[Job] = []
            while self._small and len(jobs) < OPERATIONS_PER_COMMIT:
                jobs.append(self._small.popleft())
            rows = 0
            while self._large and (not rows or rows + self._large[0].rows <= ROWS_PER_COMMIT):
                rows += self._large[0].rows
                jobs.append(self._large.popleft())
            return jobs
