"""Brings the items that a read needs from the engine, and from the latest changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from service.index.shared.engine_collection import CollectionReads, FoundItem
from service.index.shared.tail_follower import TailFollower
from service.index.shared.tail_index import TailIndex
from service.index.shared.working_set import WorkingSet

# Items whose vectors one request brings at most: 6 MB with 256 dimensions. Of more, those come that
# are nearest to some query.
MAX_NEAREST_ITEMS = 4_096

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
        limit = request.limit
        while True:
            hits = await collection.search(
                request.queries, limit, request.restriction, exact=request.exact
            )
            changed_ids = await self._follower.read_tail(partial(_find_changed, hits))
            if all(
                len(query_hits) < limit or _count_others(query_hits, changed_ids) >= request.limit
                for query_hits in hits
            ):
                break
            limit *= 2
        found = await collection.fetch(list(_list_best(hits, changed_ids)))
        return await self._join(found, lambda tail: tail.find_nearest(request), cost)

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
        return await self._follower.read_tail(
            lambda tail: [*tail.select_unchanged(found), *find_latest(tail)], cost
        )


def _find_changed(hits: Sequence[Sequence[FoundItem]], tail: TailIndex) -> set[str]:
    """Return the items among hits that have changed since."""
    return {
        hit.item_id for query_hits in hits for hit in query_hits if tail.has_changed(hit.item_id)
    }


def _count_others(hits: Sequence[FoundItem], changed_ids: set[str]) -> int:
    """Return the number of distinct items among hits that have not changed."""
    return len({hit.item_id for hit in hits} - changed_ids)


def _list_best(hits: Sequence[Sequence[FoundItem]], changed_ids: set[str]) -> Iterator[str]:
    """Yield the items of hits that have not changed, at most MAX_NEAREST_ITEMS, nearest first."""
    scores: dict[str, float] = {}
    for query_hits in hits:
        for item_id, score in query_hits:
            if item_id not in changed_ids:
                scores[item_id] = max(score, scores.get(item_id, score))
    if len(scores) <= MAX_NEAREST_ITEMS:
        yield from scores
        return
    yield from sorted(scores, key=lambda item_id: -scores[item_id])[:MAX_NEAREST_ITEMS]
