"""Follows the store's sequence into the item index: start-up, live and crash recovery are one loop.

Reads and changes run on the event loop while they are cheaper than a hand-off to a thread, and in
one worker thread otherwise; the item index's lock keeps the two apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import structlog

from service import errors
from service.domain.filters import Filter, count_conditions
from service.domain.generations import Generation
from service.domain.items import Change
from service.domain.stats import IndexStats
from service.index.item_index import ItemIndex
from service.telemetry import call_context

T = TypeVar("T")

CHANGES_PER_ROUND = 1_000
"""A round of so many 256-dimensional vectors holds the item index for about 3 ms."""

INLINE_COST = 4_000_000
"""Multiply-adds a search may take on the event loop: about 0.4 ms at 10 per nanosecond, some four
times the hand-off to a thread. Measured with bench/smoke.py."""

CONDITION_COST = 100
"""Judging one item by one condition takes 10 ns, as long as so many multiply-adds."""

RETRY_SECONDS = 1.0


class ChangeFeed(Protocol):
    """The store as a follower needs it: changes in the order of their sequence numbers."""

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last write known to this process."""

    async def changes(
        self, generation: Generation, after: int, limit: int
    ) -> tuple[Sequence[Change], int]:
        """Return up to `limit` changes after a sequence number, and the number they lead up to.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

    async def refresh(self) -> int:
        """Look for writes of other processes; return the last sequence number."""

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call `listener` in the event loop with the last sequence number after each commit."""

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Stop calling `listener`."""


class Follower:
    """Keeps one generation's item index up to date while `run` runs."""

    def __init__(self, feed: ChangeFeed, generation: Generation, item_index: ItemIndex) -> None:
        self._feed = feed
        self._generation = generation
        self._item_index = item_index
        self._news = asyncio.Event()
        self._following = asyncio.Lock()
        self._changed = time.monotonic()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="akin-index")
        feed.listen(self._wake)

    async def run(self) -> None:
        """Follows until cancelled; then whoever still waits gets NotReady."""
        log = structlog.get_logger()
        try:
            while True:
                self._news.clear()
                try:
                    async with self._following:
                        more = await self._round()
                    if not more:
                        await self._news.wait()
                except errors.AkinError as exc:
                    log.exception("index_follow_failed", reason=exc.reason)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._feed.unlisten(self._wake)
            for _, waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(errors.NotReady("the service is shutting down"))
            self._worker.shutdown()

    def conditions(self, wanted: Filter | None) -> int:
        """How many conditions would have to be judged for a filter, for `read`."""
        return 0 if self._item_index.attributes.knows(wanted) else count_conditions(wanted)

    def stats(self) -> IndexStats:
        """What the index is made of now."""
        return self._item_index.index.stats()

    @property
    def sequence(self) -> int:
        """The last write that the item index has taken in."""
        return self._item_index.sequence

    @property
    def quiet_seconds(self) -> float:
        """How long nothing has changed."""
        return time.monotonic() - self._changed

    @property
    def search_cost(self) -> int:
        """The multiply-adds that one search takes."""
        return self._item_index.index.cost(1)

    @property
    def items(self) -> int:
        """How many items can be recommended."""
        return len(self._item_index)

    async def reached(self, sequence: int) -> None:
        """Waits until the item index has taken in the write `sequence`.

        Raises:
            NotReady: the service shuts down first.
        """
        if self._item_index.sequence >= sequence:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((sequence, waiter))
        await waiter

    async def adopt(self, item_index: ItemIndex) -> None:
        """Replace the item index by one that was made elsewhere, once it is as new."""
        while self._item_index.sequence - item_index.sequence > CHANGES_PER_ROUND:
            await self._taken_in(item_index)
        async with self._following:
            while item_index.sequence < self._item_index.sequence:
                await self._taken_in(item_index)
            self._item_index = item_index

    async def read(self, work: Callable[[ItemIndex], T], queries: int, conditions: int = 0) -> T:
        """Runs `work` on the item index, nothing else touching it, nothing expired in it.

        Args:
            work: must not block or await.
            queries: how many searches it makes, to decide where it runs.
            conditions: how many conditions of filters it judges all items by, for the same.
        """
        with call_context.Stage(call_context.SEARCH):
            return await self._read(work, queries, conditions)

    async def _read(self, work: Callable[[ItemIndex], T], queries: int, conditions: int) -> T:
        item_index = self._item_index
        # Where the worker holds the item index, the loop must not wait for it.
        cost = item_index.index.cost(queries) + CONDITION_COST * conditions * self.items
        if cost <= INLINE_COST and item_index.lock.acquire(blocking=False):
            try:
                item_index.expire()
                return work(item_index)
            finally:
                item_index.lock.release()
        return await self._aside(self._locked, work)

    async def read_aside(self, work: Callable[[ItemIndex], T]) -> T:
        """Runs long work on the item index in a thread, nothing else touching it."""
        return await self._aside(self._locked, work)

    async def _aside(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *args)

    def _locked(self, work: Callable[[ItemIndex], T]) -> T:
        item_index = self._item_index
        with item_index.lock:
            item_index.expire()
            return work(item_index)

    async def _taken_in(self, item_index: ItemIndex) -> None:
        """Has an item index that nobody reads yet take in what is new."""
        changes, reached = await self._feed.changes(
            self._generation, item_index.sequence, CHANGES_PER_ROUND
        )
        await self._aside(item_index.apply, changes, reached)

    def _wake(self, _sequence: int) -> None:
        self._news.set()

    async def _round(self) -> bool:
        """Takes in what is new; True if there may be more."""
        changes, reached = await self._feed.changes(
            self._generation, self._item_index.sequence, CHANGES_PER_ROUND
        )
        # A whole round costs about as much as a search over as many rows, and never returns less.
        await self.read(lambda item_index: item_index.apply(changes, reached), queries=1)
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
