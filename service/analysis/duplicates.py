"""Finds groups of near-duplicate items, in a whole catalog or around one item."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import numpy as np

from service import errors
from service.analysis.candidate_search import CandidateSearch
from service.analysis.duplicate_groups import NearDuplicateGrouper
from service.analysis.examination import Examination
from service.analysis.sampling import draw_sample
from service.domain.analyses import (
    Coverage,
    DuplicateGroup,
    DuplicateGroups,
    DuplicateItem,
    DuplicatesProgress,
    DuplicatesQuery,
)
from service.domain.generations import Generation
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.read_requests import plan_items
from service.storage.items import ItemStore

# Texts from which it is estimated which wording is common: 0.3 s for those of films.
MAX_RARITY_TEXTS = 5_000

PROGRESS_SECONDS = 0.5

# Items whose places in the order of creation are read at once.
ORDERED_ITEMS_AT_ONCE = 2_000

# Vectors that are compared with the first of their group at once, in 10 ms.
COMPARED_VECTORS_AT_ONCE = 2_000

# Items in one message, and in one group: 2.6 MB with the longest ids.
MAX_MESSAGE_ITEMS = 10_000


class DuplicateSearch:
    """Finds the near-duplicates of one catalog."""

    def __init__(self, store: ItemStore, generation: Generation, reader: IndexReader) -> None:
        self._store = store
        self._generation = generation
        self._reader = reader

    async def find(
        self, query: DuplicatesQuery
    ) -> AsyncIterator[DuplicatesProgress | DuplicateGroups]:
        """Yield the progress, and at the end the groups, largest first.

        Raises:
            ItemNotFound: the item of the query does not exist.
            EmbeddingUnavailable: the item of the query has no vector yet.
        """
        if query.item_id:
            await self._require_vector(query.item_id)
        sample = await draw_sample(self._reader, query.filter)
        examination = Examination(sample)
        search = CandidateSearch(self._reader, query, examination)
        grouper = NearDuplicateGrouper(
            self._store, self._generation, search.find, query, examination
        )
        await grouper.estimate_rarity(sample.item_ids[:MAX_RARITY_TEXTS])
        if query.item_id:
            await grouper.group([query.item_id])
            coverage = Coverage(
                sample.item_count, min(1, sample.item_count), False, sample.sequence
            )
        else:
            batch_size = await search.prepare()
            async for progress in self._group_all(grouper, examination, batch_size):
                yield progress
            coverage = examination.coverage
        groups = await self._measure(
            await self._order(grouper.components.list_groups()),
            query,
            is_truncated=bool(query.item_id) and grouper.has_reached_limit,
        )
        for message_groups in _split_into_messages(groups):
            yield DuplicateGroups(message_groups, coverage)

    async def _group_all(
        self, grouper: NearDuplicateGrouper, examination: Examination, batch_size: int
    ) -> AsyncIterator[DuplicatesProgress]:
        """Group all items of a sample; yield the progress."""
        last_report = time.monotonic()
        for batch in examination.iterate_batches(batch_size):
            await grouper.group(batch)
            if time.monotonic() >= last_report + PROGRESS_SECONDS:
                last_report = time.monotonic()
                yield DuplicatesProgress(examination.coverage)

    async def _require_vector(self, item_id: str) -> None:
        """Raise an error if an item does not exist or has no vector."""
        key = await self._reader.read_in_worker(
            lambda item_index: item_index.find_key(item_id), plan_items([item_id])
        )
        if key is not None:
            return
        if item_id in await self._store.excerpts(self._generation, [item_id], 0):
            raise errors.EmbeddingUnavailable(f"item {item_id!r} is not embedded yet")
        raise errors.ItemNotFound(f"item {item_id!r} does not exist")

    async def _order(self, groups: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the groups with the items that still exist, those that were stored first first."""
        keys: dict[str, int] = {}
        item_ids = [item_id for group in groups for item_id in group]
        for start in range(0, len(item_ids), ORDERED_ITEMS_AT_ONCE):
            batch = item_ids[start : start + ORDERED_ITEMS_AT_ONCE]
            excerpts = await self._store.excerpts(self._generation, batch, 0)
            keys |= {item_id: excerpt.item_key for item_id, excerpt in excerpts.items()}
        return [
            sorted((item_id for item_id in group if item_id in keys), key=keys.__getitem__)
            for group in groups
        ]

    async def _measure(
        self, groups: Sequence[Sequence[str]], query: DuplicatesQuery, *, is_truncated: bool
    ) -> list[DuplicateGroup]:
        """Return the groups with the items that still match and their cosines with the first."""
        measured: list[DuplicateGroup] = []
        for batch in _split_into_batches(groups):

            def measure(
                item_index: ItemIndex, batch: Sequence[Sequence[str]] = batch
            ) -> list[DuplicateGroup]:
                return [
                    DuplicateGroup(
                        _measure_group(
                            item_index,
                            item_index.find_matching_keys(group[:MAX_MESSAGE_ITEMS], query.filter),
                        ),
                        truncated=is_truncated or len(group) > MAX_MESSAGE_ITEMS,
                    )
                    for group in batch
                ]

            item_ids = [item_id for group in batch for item_id in group[:MAX_MESSAGE_ITEMS]]
            measured += await self._reader.read_in_worker(measure, plan_items(item_ids))
        return [group for group in measured if len(group.items) > 1]


def _split_into_batches(groups: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Yield as many groups at a time as may be compared at once."""
    batch: list[Sequence[str]] = []
    size = 0
    for group in groups:
        batch.append(group)
        size += len(group)
        if size >= COMPARED_VECTORS_AT_ONCE:
            yield batch
            batch, size = [], 0
    yield batch


def _measure_group(item_index: ItemIndex, keys: Mapping[str, int]) -> Sequence[DuplicateItem]:
    """Return the items with their cosines with the first: the first, then the others by cosine."""
    if not keys:
        return ()
    owned = item_index.vectors.get(list(keys.values()))
    cosines = (owned.vectors @ owned.vectors[owned.owners == 0].T).max(axis=1)
    first_chunks = np.searchsorted(owned.owners, np.arange(len(keys)))
    best_cosines = np.maximum.reduceat(cosines, first_chunks)
    first, *others = (
        DuplicateItem(item_id, cosine)
        for item_id, cosine in zip(keys, best_cosines.tolist(), strict=True)
    )
    return [first, *sorted(others, key=lambda item: (-item.similarity, item.item_id))]


def _split_into_messages(groups: Sequence[DuplicateGroup]) -> Iterator[Sequence[DuplicateGroup]]:
    """Yield the groups, largest first, as many at a time as fit into a message."""
    message: list[DuplicateGroup] = []
    size = 0
    for group in sorted(groups, key=lambda group: (-len(group.items), group.items[0].item_id)):
        if size + len(group.items) > MAX_MESSAGE_ITEMS:
            yield message
            message, size = [], 0
        message.append(group)
        size += len(group.items)
    yield message
