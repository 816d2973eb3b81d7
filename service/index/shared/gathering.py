"""Brings the items that a read needs from the engine, and from the latest changes."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice

from service.domain.items import Change
from service.index.read_requests import (
    ItemsRequest,
    NearestRequest,
    RankedRequest,
    ReadPlan,
    ReadRequest,
)
from service.index.shared.catalog_statistics import CatalogStatistics
from service.index.shared.engine_collection import CollectionReads, FoundPoint
from service.index.shared.tail_follower import TailFollower
from service.index.shared.tail_index import TailIndex
from service.index.shared.working_set import WorkingSet

# Items that come along with a search, in one call. More are selected first, and fetched then.
MAX_ITEMS_ALONG = 128

# The share of the selected points that must be of items that have not changed since. With fewer,
# more are selected.
MIN_UNCHANGED_SHARE = 0.5

# As in the ranking of recommendations for several sources.
SHARPNESS_OF_SELECTION = 6.0

# Ranked items that are looked up first. Few of many are needed.
RANKED_BLOCK = 512

# Queries from which on a plan computes in a thread.
MAX_INLINE_QUERIES = 8


class Gathering:
    """Brings the items of reads of one catalog.

    Args:
        dimensions: the width of every vector.
        clock_ns: returns the time in nanoseconds since 1970.
        follower: of the latest changes.
    """

    def __init__(
        self, dimensions: int, clock_ns: Callable[[], int], follower: TailFollower
    ) -> None:
        self._dimensions = dimensions
        self._clock_ns = clock_ns
        self._follower = follower

    async def gather(
        self,
        plan: ReadPlan,
        collection: CollectionReads,
        statistics: CatalogStatistics,
        queries: int,
    ) -> WorkingSet:
        """Return the items that a plan asks for.

        Args:
            plan: asks for items.
            collection: where most of them are.
            statistics: those of the catalog.
            queries: the number of searches of the read.

        Raises:
            IndexUnavailable: the engine cannot be used now.
        """
        sequence = self._follower.sequence
        working_set = WorkingSet(self._dimensions, self._clock_ns, statistics, sequence)
        requests = plan(working_set)
        while True:
            if queries > MAX_INLINE_QUERIES:
                request = await asyncio.to_thread(next, requests, None)
            else:
                request = next(requests, None)
            if request is None:
                return working_set
            working_set.add(await self._answer(request, collection))

    async def _answer(self, request: ReadRequest, collection: CollectionReads) -> list[Change]:
        match request:
            case ItemsRequest(item_ids):
                distinct_ids = list(dict.fromkeys(item_ids))
                found = await collection.fetch(distinct_ids)
                return await self._join(found, lambda tail: tail.find(distinct_ids))
            case NearestRequest():
                return await self._find_nearest(request, collection)
            case RankedRequest():
                return await self._find_ranked(request, collection)

    async def _find_nearest(
        self, request: NearestRequest, collection: CollectionReads
    ) -> list[Change]:
        """Return at least the `limit` nearest items to each query, as far as there are so many."""
        cost = self._follower.tail.vectors.estimate_cost(len(request.queries))
        with_items = len(request.queries) * request.limit <= MAX_ITEMS_ALONG
        limit, max_items, items = request.limit, request.max_items, dict[str, Change]()
        while True:
            found = await collection.search(
                request.queries,
                limit,
                request.restriction,
                exact=request.exact,
                with_items=with_items,
            )
            items |= found.items
            best_ids = _select_best(found.hits, max_items)
            missing_ids = [point_id for point_id in best_ids if point_id not in items]
            if missing_ids:
                items |= await collection.fetch_points(missing_ids)
            unchanged = await self._follower.read_tail(
                partial(TailIndex.select_unchanged, changes=self._drop_expired(items.values()))
            )
            ids = {change.item_id for change in unchanged}
            best_count = sum(id_ in items and items[id_].item_id in ids for id_ in best_ids)
            is_cut = len(best_ids) >= max_items
            has_enough = is_cut and best_count >= MIN_UNCHANGED_SHARE * request.max_items
            if has_enough or all(
                (len(hits) < limit and not is_cut)
                or _count_items(hits, items, ids) >= request.limit
                for hits in found.hits
            ):
                break
            limit, max_items = 2 * limit, 2 * max_items
        return await self._join(list(items.values()), lambda tail: tail.find_nearest(request), cost)

    async def _find_ranked(
        self, request: RankedRequest, collection: CollectionReads
    ) -> list[Change]:
        """Return the first `limit` ranked items, as far as there are so many."""
        ranked = iter(request.item_ids)
        items: list[Change] = []
        size = max(RANKED_BLOCK, 2 * request.limit)
        while len(items) < request.limit and (block := list(islice(ranked, size))):
            allowed = await collection.fetch_allowed(block, request.restriction)
            find_latest = partial(
                TailIndex.find_allowed, item_ids=block, restriction=request.restriction
            )
            items += await self._join(allowed, find_latest)
            size *= 2
        return items

    async def _join(
        self,
        found: Sequence[Change],
        find_latest: Callable[[TailIndex], Iterable[Change]],
        cost: int = 0,
    ) -> list[Change]:
        """Return items of the engine that have not changed since, and those that have."""
        present = self._drop_expired(found)
        return await self._follower.read_tail(
            lambda tail: [*tail.select_unchanged(present), *find_latest(tail)], cost
        )

    def _drop_expired(self, items: Iterable[Change]) -> list[Change]:
        """Return those items of the engine that have not expired: it still has the others."""
        now_us = self._clock_ns() // 1_000
        return [
            item for item in items if item.expire_time_us is None or item.expire_time_us > now_us
        ]


def _count_items(
    hits: Sequence[FoundPoint], items: Mapping[str, Change], unchanged_ids: set[str]
) -> int:
    """Return the number of distinct items among hits that have not changed since."""
    ids = {items[hit.point_id].item_id for hit in hits if hit.point_id in items}
    return len(ids & unchanged_ids)


def _select_best(hits: Sequence[Sequence[FoundPoint]], limit: int) -> list[str]:
    """Return the ids of the best points for all queries together, at most `limit`.

    A point is as good as the soft maximum of its scores, so that one that is near to several
    queries comes before one that is near to a single one.
    """
    weights: dict[str, float] = {}
    for query_hits in hits:
        for point_id, score in query_hits:
            weights[point_id] = weights.get(point_id, 0.0) + math.exp(
                SHARPNESS_OF_SELECTION * score
            )
    if len(weights) <= limit:
        return list(weights)
    return heapq.nlargest(limit, weights, key=weights.__getitem__)
