"""Follows the store's sequence into the view: start-up, live and crash recovery are one loop.

Reads and changes run on the event loop while they are cheaper than a hand-off to a thread, and in
one worker thread otherwise; the view's lock keeps the two apart.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from service import errors
from service.domain.filters import Filter
from service.domain.filters import size as filter_size
from service.domain.values import IndexFigures
from service.snapshots import Snapshots
from service.storage import Store
from service.storage.store import CatalogRow
from service.view import View

T = TypeVar("T")

CHANGES_PER_ROUND = 1_000
"""A round of so many 256-dimensional vectors holds the view for about 3 ms."""

INLINE_COST = 4_000_000
"""Multiply-adds a search may take on the event loop: about 0.4 ms at 10 per nanosecond, some four
times the hand-off to a thread. Measured with bench/smoke.py."""

CONDITION_COST = 100
"""Judging one item by one condition takes 10 ns, as long as so many multiply-adds."""

RETRY_SECONDS = 1.0
BUILD_NICENESS = 10
MAINTENANCE_SECONDS = 0.2
QUIET_SECONDS = 3.0

SNAPSHOT_CHANGES = 10_000
SNAPSHOT_SHARE = 0.02
"""So many changes, and so many of the items, are followed anew at a start at most: 0.2 s, or a
fiftieth of the whole."""


class Indexer:
    """Keeps one catalog's view up to date while `run` runs."""

    def __init__(
        self, store: Store, catalog: CatalogRow, view: View, snapshots: Snapshots | None = None
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._saved = view.sequence
        self._catalog = catalog
        self._view = view
        self._news = asyncio.Event()
        self._changed = time.monotonic()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="akin-index")
        store.listen(lambda _sequence: self._news.set())

    async def run(self) -> None:
        """Follows until cancelled; then whoever still waits gets NotReady."""
        log = structlog.get_logger()
        try:
            while True:
                self._news.clear()
                try:
                    if not await self._round():
                        await self._news.wait()
                except errors.AkinError as exc:
                    log.exception("index_follow_failed", reason=exc.reason)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            for _, waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(errors.NotReady("the service is shutting down"))
            self._worker.shutdown()

    async def maintain(self) -> None:
        """Has graphs built aside as the index grows, until cancelled."""
        with ThreadPoolExecutor(
            1, thread_name_prefix="akin-build", initializer=_yield_to_others
        ) as builder:
            while True:
                if not await self._maintained(builder):
                    await self._snapshot(builder)
                    await asyncio.sleep(MAINTENANCE_SECONDS)

    async def _snapshot(self, builder: ThreadPoolExecutor) -> None:
        """Writes a snapshot once enough has changed and nothing is being written."""
        if self._snapshots is None or time.monotonic() - self._changed < QUIET_SECONDS:
            return
        if self._view.sequence - self._saved < max(SNAPSHOT_CHANGES, SNAPSHOT_SHARE * self.items):
            return
        state = await self.read(lambda view: view.capture(), queries=1)
        self._saved = state.sequence
        try:
            await asyncio.get_running_loop().run_in_executor(builder, self._snapshots.save, state)
            structlog.get_logger().info("snapshot_saved", sequence=state.sequence)
        except OSError as exc:
            structlog.get_logger().warning("snapshot_failed", reason=str(exc))

    async def _maintained(self, builder: ThreadPoolExecutor) -> bool:
        """Builds what is due; False if nothing is."""
        quiet = time.monotonic() - self._changed > QUIET_SECONDS
        build = await self.read(lambda view: view.index.due(quiet=quiet), queries=1)
        if build is None:
            return False
        try:
            await asyncio.get_running_loop().run_in_executor(builder, build.run)
        except asyncio.CancelledError:
            build.stop()  # or the thread would go on
            raise
        await self.read(lambda view: view.index.adopt(build), queries=1)
        return True

    def conditions(self, wanted: Filter | None) -> int:
        """How many conditions would have to be judged for a filter, for `read`."""
        return 0 if self._view.attributes.knows(wanted) else filter_size(wanted)

    def figures(self) -> IndexFigures:
        """What the index is made of now."""
        return self._view.index.figures()

    @property
    def items(self) -> int:
        """How many items can be recommended."""
        return len(self._view)

    async def reached(self, sequence: int) -> None:
        """Waits until the view has taken in the write `sequence`.

        Raises:
            NotReady: the service shuts down first.
        """
        if self._view.sequence >= sequence:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((sequence, waiter))
        await waiter

    async def read(self, work: Callable[[View], T], queries: int, conditions: int = 0) -> T:
        """Runs `work` on the view, nothing else touching it, nothing expired in it.

        Args:
            work: must not block or await.
            queries: how many searches it makes, to decide where it runs.
            conditions: how many conditions of filters it judges all items by, for the same.
        """
        lock = self._view.lock
        # Where the worker holds the view, the loop must not wait for it.
        cost = self._view.index.cost(queries) + CONDITION_COST * conditions * self.items
        if cost <= INLINE_COST and lock.acquire(blocking=False):
            try:
                self._view.expire()
                return work(self._view)
            finally:
                lock.release()
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._locked, work)

    def _locked(self, work: Callable[[View], T]) -> T:
        with self._view.lock:
            self._view.expire()
            return work(self._view)

    async def _round(self) -> bool:
        """Takes in what is new; True if there may be more."""
        changes, reached = await self._store.changes(
            self._catalog, self._view.sequence, CHANGES_PER_ROUND
        )
        # A whole round costs about as much as a search over as many rows, and never returns less.
        await self.read(lambda view: view.apply(changes, reached), queries=1)
        if changes:
            self._changed = time.monotonic()
        waiting = []
        for sequence, waiter in self._waiters:
            if sequence > reached:
                waiting.append((sequence, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = waiting
        return len(changes) == CHANGES_PER_ROUND


def _yield_to_others() -> None:
    """Has this thread run while no other wants the processor: builds can wait, calls cannot."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BUILD_NICENESS)
