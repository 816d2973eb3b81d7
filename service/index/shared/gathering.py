"""Brings the items that a read needs from the engine, and from the latest changes."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
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

# Hits of one request for all queries together, in one round of searches: they come with their ids
# and scores alone, but each takes 30 microseconds of the event loop.
MAX_HITS = 32_768

# Ranked items that are looked up first, and at most at once. Few of many are needed.
RANKED_BLOCK, MAX_RANKED_BLOCK = 512, 4_096

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
        """Return at least the `limit` nearest items to each query, or all if there are fewer.

        Items that have changed since and several points of one item take places of hits. Then a
        further search leaves out all items that are here already.
        """
        cost = self._follower.tail.vectors.estimate_cost(len(request.queries))
        max_limit = max(MAX_HITS // len(request.queries), 1)
        limit, search = min(request.limit, max_limit), request
        counts, unchanged_count = [0] * len(request.queries), 0
        items: dict[str, Change] = {}
        while True:
            hits, found = await _search(collection, search, limit)
            former_count = len(items)
            items |= {change.item_id: change for change in found.values()}
            unchanged_ids = await self._select_unchanged(items.values())
            for number, query_hits in enumerate(hits):
                counts[number] += _count_items(query_hits, found, unchanged_ids)
            is_cut = len(found) >= request.max_items
            has_all = all(
                (len(query_hits) < limit and not is_cut) or count >= request.limit
                for query_hits, count in zip(hits, counts, strict=True)
            )
            unchanged_count += sum(item.item_id in unchanged_ids for item in found.values())
            is_full = (
                is_cut
                and unchanged_count >= MIN_UNCHANGED_SHARE * request.max_items
                and len(unchanged_ids) >= request.limit
            )
            finds_no_more = len(items) == former_count and limit == max_limit
            if has_all or is_full or finds_no_more:
                break
            search = _exclude(request, items)
            limit = min(2 * limit, max_limit)
        return await self._join(list(items.values()), lambda tail: tail.find_nearest(request), cost)

    async def _select_unchanged(self, items: Iterable[Change]) -> set[str]:
        """Return the ids of those items of the engine that have neither changed nor expired."""
        present = self._drop_expired(items)
        unchanged = await self._follower.read_tail(lambda tail: tail.select_unchanged(present))
        return {change.item_id for change in unchanged}

    async def _find_ranked(
        self, request: RankedRequest, collection: CollectionReads
    ) -> list[Change]:
        """Return the first `limit` ranked items, or all if there are fewer."""
        ranked = iter(request.item_ids)
        items: list[Change] = []
        size = max(RANKED_BLOCK, 2 * request.limit)
        while len(items) < request.limit and (block := list(islice(ranked, size))):
            allowed = await collection.fetch_allowed(block, request.restriction)
            find_latest = partial(
                TailIndex.find_allowed, item_ids=block, restriction=request.restriction
            )
            items += await self._join(allowed, find_latest)
            size = min(2 * size, MAX_RANKED_BLOCK)
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


async def _search(
    collection: CollectionReads, request: NearestRequest, limit: int
) -> tuple[Sequence[Sequence[FoundPoint]], Mapping[str, Change]]:
    """Return the nearest `limit` points to each query, and the items of the best ones by point."""
    with_items = len(request.queries) * limit <= MAX_ITEMS_ALONG
    found = await collection.search(
        request.queries, limit, request.restriction, exact=request.exact, with_items=with_items
    )
    best_ids = _select_best(found.hits, request.max_items)
    missing_ids = [point_id for point_id in best_ids if point_id not in found.items]
    if not missing_ids:
        return found.hits, found.items
    return found.hits, {**found.items, **await collection.fetch_points(missing_ids)}


def _exclude(request: NearestRequest, item_ids: Iterable[str]) -> NearestRequest:
    """Return a request without some items."""
    restriction = request.restriction
    excluded_ids = {*restriction.exclude_ids, *item_ids}
    return replace(request, restriction=replace(restriction, exclude_ids=excluded_ids))


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
