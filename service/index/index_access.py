"""Runs work on an item index, one piece at a time.

Work runs on the event loop while it is cheaper than the hand-off to a thread, and in a thread
otherwise. The item index's lock keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from service.index.item_index import ItemIndex
from service.index.threads import IndexQueue, IndexThreads

_T = TypeVar("_T")

# Multiply-adds that work may take on the event loop: about 0.4 ms at 10 per nanosecond, some four
# times the hand-off to a thread. Measured with bench/smoke.py.
MAX_INLINE_COST = 4_000_000


class IndexAccess:
    """Gives reads and changes the item index in use, while nothing else reads or changes it.

    Args:
        item_index: the item index in use.
        threads: where expensive work runs.

    `item_index` can be replaced at any moment. Work that has not begun then gets the new one.
    """

    def __init__(self, item_index: ItemIndex, threads: IndexThreads) -> None:
        self.item_index = item_index
        self._threads = threads
        self._queue = IndexQueue(threads)

    async def run(self, work: Callable[[ItemIndex], _T], cost: int) -> _T:
        """Drop expired items and run `work`, on the event loop if it takes few multiply-adds.

        Raises:
            NotReady: the access is closed.
        """
        item_index = self.item_index
        # While a thread holds the lock, the event loop must not wait for it.
        if cost <= MAX_INLINE_COST and item_index.lock.acquire(blocking=False):
            try:
                item_index.drop_expired()
                return work(item_index)
            finally:
                item_index.lock.release()
        return await self.run_in_thread(work)

    async def run_in_thread(self, work: Callable[[ItemIndex], _T]) -> _T:
        """Drop expired items and run `work`, always in a thread.

        Raises:
            NotReady: the access is closed.
        """
        return await self._queue.run(self._run_locked, work)

    async def run_long(self, work: Callable[[ItemIndex], _T]) -> _T:
        """Run long `work`, which waits for the long work of other indexes, too.

        Raises:
            NotReady: the access is closed.
        """
        return await self._queue.run_long(self._run_locked, work)

    async def run_unlocked(self, work: Callable[..., _T], *args: object) -> _T:
        """Run work in a thread that takes the lock itself, or whose item index nobody reads yet.

        Raises:
            NotReady: the access is closed.
        """
        return await self._queue.run(work, *args)

    async def compact_terms(self) -> None:
        """Drop the words of former texts if they are most of all; searches go on beside it.

        The caller must apply no changes before this ends.

        Raises:
            NotReady: the access is closed.
        """
        terms = self.item_index.terms
        if terms is None or not terms.needs_compaction:
            return
        compaction = await self.run_in_thread(lambda _: terms.start_compaction())
        # Not as a build, although searches go on: writes wait for this, and a build takes minutes.
        await self._threads.run(compaction.run)
        await self.run_in_thread(lambda _: terms.finish_compaction(compaction))

    def close(self) -> None:
        """Refuse the work in threads that has not begun, and all that comes later."""
        self._queue.close()

    def _run_locked(self, work: Callable[[ItemIndex], _T]) -> _T:
        item_index = self.item_index
        with item_index.lock:
            item_index.drop_expired()
            return work(item_index)
