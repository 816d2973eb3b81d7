"""The threads of all indexes of a process: as many for one catalog as for a thousand.

Each index runs its work one piece at a time and in order, so that no thread waits for an index.
After each piece, the next index has its turn. Analyses can take some of the threads only: the
writes and searches of other indexes never wait for them.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from service import errors

_T = TypeVar("_T")

# Added to the niceness of threads that build and save: these can wait, calls cannot.
BUILD_NICENESS = 10

# The processors that this process may use.
PROCESSORS = len(os.sched_getaffinity(0))

# Threads of one build. Their low priority leaves the processors to calls.
BUILD_THREADS = min(PROCESSORS, max(2, PROCESSORS // 2))

# Long pieces of work, as of analyses, that run at the same time.
MAX_LONG_JOBS = 2


class _Job(NamedTuple):
    """A piece of work, and where its result goes."""

    result: Future[Any]
    work: Callable[[], Any]

    def run(self) -> None:
        """Run the work, unless its caller has left."""
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            value = self.work()
        except BaseException as exc:  # noqa: BLE001  (the caller gets it)
            self.result.set_exception(exc)
        else:
            self.result.set_result(value)

    def refuse(self) -> None:
        """End the wait of the caller, if it has not left."""
        if self.result.set_running_or_notify_cancel():
            self.result.set_exception(errors.NotReady("the service is shutting down"))


class IndexThreads:
    """The threads of a process that read, change, build and save indexes."""

    def __init__(self) -> None:
        # With more threads than processors, no work ends sooner.
        self._pool = ThreadPoolExecutor(PROCESSORS + MAX_LONG_JOBS, "akin-index")
        builders = max(1, PROCESSORS // BUILD_THREADS)
        self._builders = ThreadPoolExecutor(builders, "akin-build", _lower_priority)
        self._lock = threading.Lock()
        self._long_jobs = 0
        self._waiting: deque[tuple[IndexQueue, _Job]] = deque()

    def close(self) -> None:
        """End the threads after their present work, and drop the rest."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._builders.shutdown(wait=False, cancel_futures=True)

    def start(self, work: Callable[[], None]) -> None:
        """Run work in the next free thread."""
        with suppress(RuntimeError):  # after `close`
            self._pool.submit(work)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run work that belongs to no queue in the next free thread.

        Raises:
            NotReady: the threads are closed.
        """
        try:
            job = self._pool.submit(work)
        except RuntimeError:
            raise errors.NotReady("the service is shutting down") from None
        return await asyncio.wrap_future(job)

    def start_long(self, queue: IndexQueue, job: _Job) -> None:
        """Put a long job into the queue of its index once there are few enough of them."""
        with self._lock:
            self._waiting.append((queue, job))
        self._start_waiting()

    async def build(
        self, work: Callable[..., _T], *args: object, stop: Callable[[], None] = lambda: None
    ) -> _T:
        """Run work that can wait, at low priority.

        If the caller is cancelled, work that has begun is at its end before this returns.

        Args:
            work: a function.
            args: its arguments.
            stop: makes work that has begun end soon.
        """
        job = self._builders.submit(work, *args)
        result = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            if not job.cancel():
                stop()
                await asyncio.wait([result])
            raise

    def _start_waiting(self) -> None:
        """Start long jobs, without those whose callers have left, up to their number."""
        while True:
            with self._lock:
                while self._waiting and self._waiting[0][1].result.cancelled():
                    self._waiting.popleft()
                if not self._waiting or self._long_jobs == MAX_LONG_JOBS:
                    return
                self._long_jobs += 1
                queue, job = self._waiting.popleft()
            job.result.add_done_callback(self._end_long)
            queue.add(job)

    def _end_long(self, _result: Future[Any]) -> None:
        with self._lock:
            self._long_jobs -= 1
        self._start_waiting()


class IndexQueue:
    """The work of one index, which runs one piece at a time and in order.

    Args:
        threads: where it runs.
    """

    def __init__(self, threads: IndexThreads) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._is_running = False
        self._is_closed = False

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        """Run work in a thread; it is dropped if its caller leaves before it begins.

        Raises:
            NotReady: the queue is closed.
        """
        job = _Job(Future(), partial(work, *args))
        self.add(job)
        result: _T = await asyncio.wrap_future(job.result)
        return result

    async def run_long(self, work: Callable[..., _T], *args: object) -> _T:
        """Run long work, which waits for the long work of other indexes, too.

        Raises:
            NotReady: the queue is closed.
        """
        job = _Job(Future(), partial(work, *args))
        self._threads.start_long(self, job)
        result: _T = await asyncio.wrap_future(job.result)
        return result

    def add(self, job: _Job) -> None:
        """Add a job at the end."""
        with self._lock:
            is_closed, must_start = self._is_closed, not self._is_running
            if not is_closed:
                self._jobs.append(job)
                self._is_running = True
        if is_closed:
            job.refuse()
        elif must_start:
            self._threads.start(self._run_next)

    def close(self) -> None:
        """Refuse the work that has not begun, and all later work."""
        with self._lock:
            self._is_closed = True
            refused = tuple(self._jobs)
            self._jobs.clear()
        for job in refused:
            job.refuse()

    def _run_next(self) -> None:
        """Run the first job, and go to the end of the threads' queue for the next one."""
        with self._lock:
            job = self._jobs.popleft() if self._jobs else None
        if job is not None:
            job.run()
        with self._lock:
            must_continue = self._is_running = bool(self._jobs)
        if must_continue:
            self._threads.start(self._run_next)


def _lower_priority() -> None:
    """Give this thread the processor only while no other wants it."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BUILD_NICENESS)
