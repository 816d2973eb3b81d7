"""Watches how far the engine has come with a catalog, and whether reads can use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from service import errors
from service.domain.generations import Generation
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.index.shared.catalog_statistics import CatalogStatistics
from service.index.shared.engine_collection import CollectionReads
from service.index.shared.held_trims import HeldTrims
from service.index.shared.shared_index_store import SharedIndexRecords
from service.index.shared.tail_follower import TailFollower

# The pause between two looks into the store, while the engine lacks changes and otherwise.
LAGGING_PAUSE_SECONDS = 0.25
CURRENT_PAUSE_SECONDS = 2.0

# The longest wait of a read for an index that is being built. Small ones are ready within a second.
READY_SECONDS = 5.0

# Removing one change from a tail takes 2 microseconds, as long as 20,000 multiply-adds.
TRIM_COST = 20_000


class UsableIndex(NamedTuple):
    """What a read needs: the collection that is ready, and the statistics of the catalog.

    The collection has all changes up to the sequence number `reached`.
    """

    collection: CollectionReads
    statistics: CatalogStatistics
    reached: int


class CollectionWatch:
    """Keeps what one process knows of the collection of a generation up to date, while `run` runs.

    Args:
        records: the store.
        generation: the generation.
        follower: of the latest changes, which are dropped once the engine has them.
        open_collection: returns the collection of a record.
        statistics: those of a catalog without items.
        ready_seconds: the longest wait of a read for an index that is being built.

    `trims` hold back the changes that running reads may need. `item_count` is the number of items
    in the engine.
    """

    def __init__(
        self,
        records: SharedIndexRecords,
        generation: Generation,
        follower: TailFollower,
        open_collection: Callable[[SharedIndexRecord], CollectionReads],
        statistics: CatalogStatistics,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        self._records = records
        self._generation = generation
        self._follower = follower
        self._open_collection = open_collection
        self._statistics = statistics
        self._ready_seconds = ready_seconds
        self._statistics_version = 0
        self._record: SharedIndexRecord | None = None
        self._collection: CollectionReads | None = None
        self._is_usable = asyncio.Event()
        self.trims = HeldTrims()

    @property
    def item_count(self) -> int:
        """The number of searchable items in the engine, as of the statistics."""
        return self._statistics.corpus.item_count

    async def wait_until_usable(self) -> UsableIndex:
        """Return the collection and the statistics, once the collection is ready.

        Raises:
            IndexUnavailable: it is still being built.
        """
        if not self._can_use():
            try:
                async with asyncio.timeout(self._ready_seconds):
                    while not self._can_use():
                        # The tail can have dropped changes since the watch has looked.
                        self._is_usable.clear()
                        await self._is_usable.wait()
            except TimeoutError:
                raise errors.IndexUnavailable(self._describe_build()) from None
        assert self._record is not None  # noqa: S101  (it is there if it can be used)
        assert self._collection is not None  # noqa: S101  (likewise)
        return UsableIndex(self._collection, self._statistics, self._record.reached)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                await self._look()
            except errors.AkinError as exc:
                structlog.get_logger().warning("shared_index_unknown", reason=exc.reason)
            tail = self._follower.tail
            is_lagging = tail.change_count > 0 or not self._is_usable.is_set()
            await asyncio.sleep(LAGGING_PAUSE_SECONDS if is_lagging else CURRENT_PAUSE_SECONDS)

    async def _look(self) -> None:
        record = await self._records.get(self._generation)
        if record is not None:
            await self._choose_collection(record, self._record)
            if record.dropped_us is not None:
                # This process has not changed to another index yet, which can take long.
                await self._records.mark_used(record)
        self._record = record
        version = await self._records.get_statistics_version(self._generation)
        if version != self._statistics_version:
            await self._read_statistics()
        if record is not None and record.state is SharedIndexState.READY:
            self.trims.note(record.reached)
            await self._trim()
        if self._can_use():
            self._is_usable.set()
        else:
            self._is_usable.clear()

    async def _read_statistics(self) -> None:
        stored = await self._records.read_statistics(self._generation)
        if stored is None:
            return
        self._statistics_version, encoded = stored
        try:
            self._statistics = await asyncio.to_thread(CatalogStatistics.decode, encoded)
        except (KeyError, ValueError):
            # The next ones replace them.
            structlog.get_logger().exception("catalog_statistics_damaged")

    async def _choose_collection(
        self, record: SharedIndexRecord, former: SharedIndexRecord | None
    ) -> None:
        """Open the collection of a record; use none that has writes that the store has lost."""
        if former is None or record.version != former.version:
            self._collection = self._open_collection(record)
            self.trims.restart()
        elif record.reached < former.reached and not await self._follower.confirms(former.anchor):
            self._collection = None

    async def _trim(self) -> None:
        reached, tail = self.trims.reached, self._follower.tail
        if reached > tail.start:
            cost = TRIM_COST * tail.change_count
            await self._follower.read_tail(lambda tail: tail.trim(reached), cost)

    def _can_use(self) -> bool:
        """Return whether the engine has all changes before those of the tail."""
        record = self._record
        return (
            record is not None
            and self._collection is not None
            and record.state is SharedIndexState.READY
            and record.reached >= self._follower.tail.start
        )

    def _describe_build(self) -> str:
        is_ready = self._record is not None and self._record.state is SharedIndexState.READY
        if is_ready and self._collection is not None:
            return "the index lacks changes, and is catching up"
        if self._record is None or not self._record.target:
            return "the index is being built"
        share = min(self._record.reached / self._record.target, 1.0)
        return f"the index is being built: {share:.0%} done"
