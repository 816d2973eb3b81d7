"""Lists the ids of items that match a filter, from the engine and the latest changes together."""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import numpy as np

from service.domain.filters import Filter
from service.index.attributes import Attributes
from service.index.index_reader import MatchingIds
from service.index.memory_reads import DRAW_SEED
from service.index.shared.engine_collection import CollectionReads
from service.index.shared.tail_follower import TailFollower

# Items that an analysis draws at most, because their vectors come over the network: 20 MB with 256
# dimensions.
MAX_DRAWN_ITEMS = 20_000

# Items of the store whose attributes are read at once.
ITEMS_PER_PAGE = 1_000

# Returns the ids and attributes as JSON of up to a number of items after an id, ascending.
ListAttributes: TypeAlias = Callable[[str, int], Awaitable[Sequence[tuple[str, str]]]]


class MatchingItems:
    """Lists the matching items of one catalog.

    Args:
        clock_ns: returns the time in nanoseconds since 1970.
        follower: of the latest changes.
        list_attributes: reads items from the store.
    """

    def __init__(
        self,
        clock_ns: Callable[[], int],
        follower: TailFollower,
        list_attributes: ListAttributes,
    ) -> None:
        self._clock_ns = clock_ns
        self._follower = follower
        self._list_attributes = list_attributes

    async def list_first(
        self, collection: CollectionReads, filter_: Filter, after: str, limit: int, item_count: int
    ) -> MatchingIds:
        """Return the first `limit` matching ids after `after`, ascending, with pending items.

        If few items match, the engine lists all of them. If many do, the first ones are found
        soonest by looking at the items of the store one after the other.
        """
        sequence, now_us = self._follower.sequence, self._clock_ns() // 1_000
        latest_ids, changed_ids = await self._list_latest(filter_, searchable=False)
        total = len(latest_ids) + await collection.count(
            filter_, searchable=False, exclude_ids=changed_ids, now_us=now_us
        )
        if limit == 0:
            return MatchingIds([], total, sequence)
        if total <= math.sqrt(limit * max(item_count, 1)) + ITEMS_PER_PAGE:
            listed = await _list_all(collection, filter_, total + len(changed_ids), now_us)
            matching = {*listed}.difference(changed_ids).union(latest_ids)
            ids = heapq.nsmallest(limit, (item_id for item_id in matching if item_id > after))
        else:
            ids = await self._examine_store(filter_, after, limit)
        return MatchingIds(ids, total, sequence)

    async def draw(
        self, collection: CollectionReads, filter_: Filter | None, limit: int
    ) -> MatchingIds:
        """Return the ids of random matching items that have vectors, at most MAX_DRAWN_ITEMS."""
        sequence, now_us = self._follower.sequence, self._clock_ns() // 1_000
        latest_ids, changed_ids = await self._list_latest(filter_, searchable=True)
        count = await collection.count(
            filter_, searchable=True, exclude_ids=changed_ids, now_us=now_us
        )
        size = min(limit, MAX_DRAWN_ITEMS)
        # The engine lists them in the order of hashes, which is random.
        listed = await collection.list_ids(
            filter_, min(size, count) + len(changed_ids), searchable=True, now_us=now_us
        )
        ids = [*latest_ids, *(item_id for item_id in listed if item_id not in changed_ids)]
        random.Random(DRAW_SEED).shuffle(ids)  # noqa: S311  (nobody must not guess it)
        return MatchingIds(ids[:size], len(latest_ids) + count, sequence)

    async def _list_latest(
        self, filter_: Filter | None, *, searchable: bool
    ) -> tuple[list[str], set[str]]:
        """Return the matching ids among the latest changes, and the ids of all of these."""
        return await self._follower.read_tail(
            lambda tail: (
                tail.find_matching(filter_, searchable=searchable),
                set(tail.list_changed_ids()),
            )
        )

    async def _examine_store(self, filter_: Filter, after: str, limit: int) -> list[str]:
        ids: list[str] = []
        while len(ids) < limit:
            page = await self._list_attributes(after, ITEMS_PER_PAGE)
            ids += await asyncio.to_thread(_select_matching, page, filter_)
            if len(page) < ITEMS_PER_PAGE:
                break
            after = page[-1][0]
        return ids[:limit]


async def _list_all(
    collection: CollectionReads, filter_: Filter, size: int, now_us: int
) -> list[str]:
    """Return the ids of all matching items, given how many there were a moment ago."""
    # Those that have come since must not take the places of others.
    while True:
        ids = await collection.list_ids(filter_, size + 1, searchable=False, now_us=now_us)
        if len(ids) <= size:
            return ids
        size = 2 * len(ids)


def _select_matching(items: Sequence[tuple[str, str]], filter_: Filter) -> list[str]:
    """Return the ids of those items whose attributes match."""
    attributes = Attributes()
    attributes.upsert(range(len(items)), [json.loads(text) for _, text in items])
    return [items[place][0] for place in np.flatnonzero(attributes.compute_mask(filter_)).tolist()]
