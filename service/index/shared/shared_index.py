"""The index of one catalog in an engine that all replicas share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.domain.filters import Filter
from service.domain.index_stats import IndexStats
from service.index.index_reader import MatchingIds
from service.index.item_index import ItemIndex
from service.index.read_requests import ReadPlan, plan_nothing
from service.index.shared.collection_watch import CollectionWatch, UsableIndex
from service.index.shared.gathering import Gathering
from service.index.shared.matching_ids import MatchingItems
from service.index.shared.tail_follower import TailFollower
from service.index.shared.working_set import WorkingSet
from service.telemetry import call_context

_T = TypeVar("_T")

# Multiply-adds of work on gathered items that may run on the event loop: about 1 ms.
MAX_INLINE_WORK = 10_000_000


class SharedIndex:
    """An IndexReader whose items are in an engine, except the latest changes.

    A read gathers the items that its plan asks for. Its work then runs on them as it does on an
    index in memory.

    Args:
        follower: of the latest changes.
        watch: of the engine.
        gathering: brings items.
        matching: lists items.
    """

    def __init__(
        self,
        follower: TailFollower,
        watch: CollectionWatch,
        gathering: Gathering,
        matching: MatchingItems,
    ) -> None:
        self._follower = follower
        self._watch = watch
        self._gathering = gathering
        self._matching = matching

    @property
    def catalog_id(self) -> int:
        """The catalog that is followed."""
        return self._follower.catalog_id

    @property
    def sequence(self) -> int:
        """The sequence number up to which reads reflect writes; 0 while the store may lack them."""
        return self._follower.sequence

    @property
    def version(self) -> int:
        """A number that rises before changes are applied."""
        return self._follower.version

    @property
    def change_count(self) -> int:
        """The number of changes that were applied."""
        return self._follower.change_count

    @property
    def item_count(self) -> int:
        """The number of searchable items in the engine, without the latest changes."""
        return self._watch.item_count

    def collect_stats(self) -> IndexStats:
        """Return what the index consists of: all vectors are in the graphs of the engine."""
        tail = self._follower.collect_stats()
        return IndexStats(
            self.item_count, graph_vectors=self.item_count, memory_bytes=tail.memory_bytes
        )

    def count_conditions(self, filter_: Filter | None) -> int:
        """Return 0: the engine evaluates filters."""
        del filter_
        return 0

    async def wait_for(self, sequence: int) -> None:
        """Wait until reads reflect the write `sequence`: see IndexReader."""
        await self._follower.wait_for(sequence)

    async def wait_for_all(self) -> None:
        """Wait until reads reflect every write that the process knows of: see IndexReader."""
        await self._follower.wait_for_all()

    async def read(
        self,
        work: Callable[[ItemIndex], _T],
        queries: int,
        conditions: int = 0,
        *,
        scans: bool = False,
        hits: int = 0,
        plan: ReadPlan = plan_nothing,
    ) -> _T:
        """Run `work` on the items of a plan: see IndexReader."""
        del conditions, scans, hits
        with call_context.Stage(call_context.SEARCH):
            items = await self._gather(plan, queries)
            if items.vectors.estimate_cost(queries) <= MAX_INLINE_WORK:
                return work(items)
            return await asyncio.to_thread(work, items)

    async def read_in_worker(
        self, work: Callable[[ItemIndex], _T], plan: ReadPlan = plan_nothing
    ) -> _T:
        """Run long `work` in a thread; otherwise like `read`."""
        items = await self._gather(plan, queries=0)
        return await asyncio.to_thread(work, items)

    async def list_matching(self, filter_: Filter, after: str, limit: int) -> MatchingIds:
        """Return the first `limit` ids after `after`, ascending, of items that match."""
        return await self._ask(
            lambda usable: self._matching.list_first(
                usable.collection, filter_, after, limit, self.item_count
            )
        )

    async def draw_matching(self, filter_: Filter | None, limit: int) -> MatchingIds:
        """Return the ids of up to `limit` random items that have vectors and match."""
        return await self._ask(
            lambda usable: self._matching.draw(usable.collection, filter_, limit)
        )

    async def _gather(self, plan: ReadPlan, queries: int) -> WorkingSet:
        return await self._ask(
            lambda usable: self._gathering.gather(
                plan, usable.collection, usable.statistics, queries
            )
        )

    async def _ask(self, ask: Callable[[UsableIndex], Awaitable[_T]]) -> _T:
        """Ask the engine, and hold back the latest changes in the meantime.

        If some were dropped nevertheless because they were too many, ask once more.

        Raises:
            IndexUnavailable: the collection is still being built.
        """
        while True:
            usable = await self._watch.wait_until_usable()
            running = self._watch.trims.begin()
            try:
                answer = await ask(usable)
            finally:
                self._watch.trims.end(running)
            if self._follower.tail.start <= usable.reached:
                return answer
