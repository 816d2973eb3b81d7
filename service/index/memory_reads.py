"""Reads of an item index in memory, which has all items of its catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from service.domain.filters import Filter, count_conditions
from service.domain.index_stats import IndexStats
from service.index.index_access import IndexAccess
from service.index.index_reader import MatchingIds
from service.index.item_index import ItemIndex
from service.index.read_requests import ReadPlan, plan_nothing
from service.telemetry import call_context

_T = TypeVar("_T")

# Evaluating one condition for one item takes 10 ns, as long as 100 multiply-adds.
CONDITION_COST = 100

# Ranking one hit and reading its attribute takes 1 microsecond.
HIT_COST = 10_000

# Random items are drawn in the same order each time.
DRAW_SEED = 1


class MemoryReads:
    """The reads of an IndexReader, from the item index that an access has in use.

    Args:
        access: has the item index.
    """

    def __init__(self, access: IndexAccess) -> None:
        self._access = access

    def count_conditions(self, filter_: Filter | None) -> int:
        """Return the number of conditions to evaluate for a filter, an argument of `read`."""
        if filter_ is None or self._access.item_index.attributes.has_cached_mask(filter_):
            return 0
        return count_conditions(filter_)

    def collect_stats(self) -> IndexStats:
        """Return what the vector index consists of."""
        return self._access.item_index.maintenance.collect_stats()

    @property
    def search_cost(self) -> int:
        """The estimated multiply-adds of one search."""
        return self._access.item_index.vectors.estimate_cost(1)

    @property
    def item_count(self) -> int:
        """The number of searchable items."""
        return len(self._access.item_index)

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
        """Run `work` on the item index, without expired items and while nothing changes it.

        Args:
            work: must neither block nor await, nor change the item index.
            queries: the number of its searches, which decides where it runs.
            conditions: the number of conditions that it evaluates for all items, likewise.
            scans: whether each search compares with every vector, likewise.
            hits: the number of hits whose attributes it reads, likewise.
            plan: is not needed, because the item index has all items.
        """
        del plan
        with call_context.Stage(call_context.SEARCH):
            item_index = self._access.item_index
            cost = item_index.vectors.estimate_cost(queries)
            if scans:
                cost = queries * item_index.vectors.vector_count * item_index.vectors.dimensions
            if conditions:
                cost += CONDITION_COST * conditions * len(item_index)
            cost += HIT_COST * hits
            return await self._access.run(work, cost)

    async def read_in_worker(
        self, work: Callable[[ItemIndex], _T], plan: ReadPlan = plan_nothing
    ) -> _T:
        """Run long `work` in a thread; otherwise like `read`."""
        del plan
        return await self._access.run_long(work)

    async def list_matching(self, filter_: Filter, after: str, limit: int) -> MatchingIds:
        """Return the first `limit` ids after `after` of items that match, also of pending ones."""
        return await self.read(
            lambda item_index: MatchingIds(
                *item_index.list_ids(filter_, after, limit), item_index.sequence
            ),
            queries=1,
            conditions=count_conditions(filter_),
        )

    async def draw_matching(self, filter_: Filter | None, limit: int) -> MatchingIds:
        """Return the ids of up to `limit` random items that have vectors and match."""

        def draw(item_index: ItemIndex) -> MatchingIds:
            # 30 ms for a million items, 3 ms for a hundred thousand.
            keys = np.random.default_rng(DRAW_SEED).permutation(item_index.list_keys(filter_))
            item_ids = item_index.get_ids(keys[:limit].tolist())
            return MatchingIds(item_ids, len(keys), item_index.sequence)

        return await self.read_in_worker(draw)
