"""Finds groups of items that repeat each other, over a whole catalog or around one item."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import numpy as np

from service import errors
from service.analysis.duplicate_groups import NearDuplicateSearch
from service.analysis.neighbors import batch_size
from service.analysis.sampling import Sample, passing, population
from service.domain.analyses import (
    Coverage,
    DuplicateGroup,
    DuplicateItem,
    Duplicates,
    DuplicatesQuery,
)
from service.domain.generations import Generation
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.storage.items import ItemStore

SAMPLE = 5_000
"""Texts that tell which wording is common: 0.3 s for those of films."""

PROGRESS_SECONDS = 0.5
READ_AT_ONCE = 2_000
COMPARED_AT_ONCE = 2_000
"""So many vectors are compared with others in 10 ms."""

MESSAGE_ITEMS = 10_000
"""Items in one reply, and in one group, at most: 2.6 MB with the longest ids."""


class DuplicateSearch:
    """Finds duplicates in one catalog."""

    def __init__(self, store: ItemStore, generation: Generation, follower: Follower) -> None:
        self._store = store
        self._generation = generation
        self._follower = follower

    async def find(self, query: DuplicatesQuery) -> AsyncIterator[Duplicates]:
        """Tells the progress, and at the end the groups, largest first.

        Raises:
            ItemNotFound: there is no item of the query's id.
            EmbeddingUnavailable: that item has no vector yet.
        """
        if query.item_id:
            await self._require(query.item_id)
        sample = Sample(await population(self._follower, query.filter))
        found = NearDuplicateSearch(self._store, self._generation, self._follower, query, sample)
        await found.learn(sample.population.item_ids[:SAMPLE])
        coverage = sample.coverage
        if query.item_id:
            await found.examine([query.item_id])
            coverage = Coverage(
                coverage.item_count, min(1, coverage.item_count), False, coverage.sequence
            )
        else:
            told = time.monotonic()
            for some in sample.some(batch_size(self._follower)):
                await found.examine(some)
                if time.monotonic() >= told + PROGRESS_SECONDS:
                    told = time.monotonic()
                    yield Duplicates(None, sample.coverage)
            coverage = sample.coverage
        groups = await self._compared(await self._ordered(found.groups.several()), query)
        is_cut = bool(query.item_id) and found.reached_limit
        for some_groups in _messages(groups, is_cut=is_cut):
            yield Duplicates(some_groups, coverage)

    async def _require(self, item_id: str) -> None:
        """Checks that there is an item, with its vector."""
        if (
            await self._follower.read_in_worker(lambda item_index: item_index.find_key(item_id))
            is not None
        ):
            return
        if item_id in await self._store.excerpts(self._generation, [item_id], 0):
            raise errors.EmbeddingUnavailable("the item's text is not embedded yet")
        raise errors.ItemNotFound("there is no such item")

    async def _ordered(self, groups: Sequence[Sequence[str]]) -> list[list[str]]:
        """The groups with the items that are still there, those that were written first leading."""
        orders: dict[str, int] = {}
        members = [item_id for each in groups for item_id in each]
        for start in range(0, len(members), READ_AT_ONCE):
            some = members[start : start + READ_AT_ONCE]
            written = await self._store.excerpts(self._generation, some, 0)
            orders |= {item_id: each.item_key for item_id, each in written.items()}
        return [
            sorted((name for name in each if name in orders), key=orders.__getitem__)
            for each in groups
        ]

    async def _compared(
        self, groups: Sequence[Sequence[str]], query: DuplicatesQuery
    ) -> list[DuplicateGroup]:
        """The groups with the items that still pass, and their cosines with the first."""
        compared: list[DuplicateGroup] = []
        for some in _batches(groups):

            def work(
                item_index: ItemIndex, some: Sequence[Sequence[str]] = some
            ) -> list[DuplicateGroup]:
                return [
                    DuplicateGroup(
                        _cosines(
                            item_index, passing(item_index, each[:MESSAGE_ITEMS], query.filter)
                        ),
                        truncated=len(each) > MESSAGE_ITEMS,
                    )
                    for each in some
                ]

            compared += await self._follower.read_in_worker(work)
        return compared


def _batches(groups: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """The groups, so many at a time as may be compared in one piece."""
    some: list[Sequence[str]] = []
    size = 0
    for each in groups:
        some.append(each)
        size += len(each)
        if size >= COMPARED_AT_ONCE:
            yield some
            some, size = [], 0
    yield some


def _cosines(item_index: ItemIndex, keys: Mapping[str, int]) -> Sequence[DuplicateItem]:
    """Items with their cosines with the first, which leads; the others by that."""
    if not keys:
        return ()
    owned = item_index.vectors.get(list(keys.values()))
    cosines = (owned.vectors @ owned.vectors[owned.owners == 0].T).max(axis=1)
    best = np.maximum.reduceat(cosines, np.searchsorted(owned.owners, np.arange(len(keys))))
    first, *others = (DuplicateItem(*each) for each in zip(keys, best.tolist(), strict=True))
    return [first, *sorted(others, key=lambda each: (-each.similarity, each.item_id))]


def _messages(
    groups: Sequence[DuplicateGroup], *, is_cut: bool
) -> Iterator[Sequence[DuplicateGroup]]:
    """The groups of several items, largest first, so many at a time as fit into a reply."""
    ordered = sorted(
        (
            DuplicateGroup(each.items, each.truncated or is_cut)
            for each in groups
            if len(each.items) > 1
        ),
        key=lambda each: (-len(each.items), each.items[0].item_id),
    )
    some: list[DuplicateGroup] = []
    size = 0
    for each in ordered:
        if size + len(each.items) > MESSAGE_ITEMS:
            yield some
            some, size = [], 0
        some.append(each)
        size += len(each.items)
    yield some
