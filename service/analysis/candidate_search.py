"""Finds the items that may be near-duplicates of others.

Built neighbor lists have them. If many vectors are in none yet, as after an import, vectors are put
into lists by their nearest centers, and an item is compared with the lists that are nearest to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from service.analysis.candidate_lists import (
    MISSING_KEY,
    CandidateLists,
    ListNumbers,
    ListSearch,
    choose_list_count,
)
from service.analysis.computation import compute
from service.analysis.examination import Examination
from service.analysis.neighbors import (
    MAX_BATCH_COST,
    MAX_BATCH_ITEMS,
    MIN_BATCH_ITEMS,
    choose_batch_size,
    find_neighbors,
)
from service.analysis.sampling import MATCHED_ITEMS_AT_ONCE
from service.domain.analyses import (
    DEFAULT_MIN_SIMILARITY,
    MAX_NEIGHBORS,
    DuplicatesQuery,
    Neighbor,
)
from service.domain.vectors import Keys, Vectors
from service.index.faiss_kmeans import compute_centers
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.memory_reads import DRAW_SEED

# Vectors from which on there are lists. With fewer, most lists would have to be searched.
MIN_LISTED_VECTORS = 10_000

# The share of vectors without neighbor lists up to which these are used. Each query is compared
# with all vectors that are in no graph.
MAX_UNLISTED_SHARE = 0.05

# The least cosine for which lists are used: farther neighbors are in more lists, and for them the
# recall was not measured.
MIN_LISTED_SIMILARITY = DEFAULT_MIN_SIMILARITY

# Vectors that the centers are computed from, in 0.2 s for 63,000 vectors. With a quarter, an item
# finds 98.0% of its near-duplicates in the lists instead of 98.9%.
TRAINING_VECTORS = 16_384

# Multiply-adds of one search in lists: 60 ms, during which others read the index.
MAX_LISTED_COST = 1_200_000_000

# Items that are searched for at once in lists. Products of few items with a list take twice as long
# for each.
MAX_LISTED_ITEMS = 512

# Items of each list that are examined one after the other, so that they share the lists nearest to
# them. In random order a batch of items would search all lists.
ITEMS_PER_LIST = 128

# The difference from 1 that rounding leaves in the cosine of equal vectors.
SIMILARITY_TOLERANCE = 1e-6


class CandidateSearch:
    """Finds the items that may be near-duplicates of others, in one catalog.

    Args:
        reader: of the index to search.
        query: what items and pairs must match.
        examination: how much time there is.
    """

    def __init__(
        self, reader: IndexReader, query: DuplicatesQuery, examination: Examination
    ) -> None:
        self._reader = reader
        self._query = query
        self._examination = examination
        self._min_score = query.min_similarity - SIMILARITY_TOLERANCE
        self._lists: CandidateLists | None = None

    async def prepare(self) -> int:
        """Make lists if that saves time, and order the items to examine by them.

        Returns:
            The number of items to find neighbors for at once, so that others need not wait.
        """
        self._lists = await self._make_lists()
        if self._lists is None:
            return await choose_batch_size(self._reader, exact=self._query.exact)
        sample = self._examination.sample
        numbers = await self._find_list_numbers(self._lists, sample.item_ids)
        order = order_by_list(numbers, len(self._lists)).tolist()
        item_ids = [sample.item_ids[position] for position in order]
        self._examination.sample = replace(sample, item_ids=item_ids)
        return _choose_batch_size(self._lists)

    async def find(self, item_ids: Sequence[str], count: int) -> Mapping[str, Sequence[Neighbor]]:
        """Return up to `count` neighbors of items that may be near-duplicates, nearest first."""
        if self._lists is not None:
            neighbors = await self._find_in_lists(self._lists, item_ids, count)
            if neighbors is not None:
                return neighbors
            self._lists = await self._make_lists()
        found: dict[str, Sequence[Neighbor]] = {}
        query = self._query
        step = max(len(item_ids), 1)
        if step > MAX_BATCH_ITEMS:  # as many as are compared with lists at once
            step = await choose_batch_size(self._reader, exact=query.exact)
        for start in range(0, len(item_ids), step):
            found |= await find_neighbors(
                self._reader,
                item_ids[start : start + step],
                count,
                query.filter,
                self._min_score,
                exact=query.exact,
            )
        return found

    async def _find_in_lists(
        self, lists: CandidateLists, item_ids: Sequence[str], count: int
    ) -> Mapping[str, Sequence[Neighbor]] | None:
        """Return the neighbors of items in the nearest lists.

        None if the lists are outdated, or the index has neighbor lists now, which are faster.
        """
        filter_ = self._query.filter

        def plan(item_index: ItemIndex) -> tuple[list[str], ListSearch] | None:
            if not (lists.follow(item_index) and _needs_lists(item_index)):
                return None
            keys = item_index.find_matching_keys(item_ids, filter_)
            allowed = None if filter_ is None else item_index.attributes.compute_mask(filter_)
            queries = item_index.vectors.get(list(keys.values())).vectors
            return list(keys), lists.plan(queries, allowed)

        planned = await self._reader.read_in_worker(plan)
        if planned is None:
            return None
        searched_ids, search = planned
        # Each item is its own nearest neighbor. Others read the index in the meantime.
        neighbors = await compute(search.run, count + 1, self._min_score)
        return {
            item_id: [near for near in nearest if near.item_id != item_id][:MAX_NEIGHBORS]
            for item_id, nearest in zip(searched_ids, neighbors, strict=True)
        }

    async def _make_lists(self) -> CandidateLists | None:
        """Put all vectors into lists; None if that saves no time or is not possible."""
        if self._query.exact or self._min_score < MIN_LISTED_SIMILARITY - SIMILARITY_TOLERANCE:
            return None
        sample = await self._reader.read_in_worker(_draw_vectors)
        if sample is None:
            return None
        vectors, number = sample
        centers = await compute(compute_centers, vectors, number, attempts=1)
        lists, keys = await self._reader.read_in_worker(
            lambda item_index: (CandidateLists(item_index, centers), item_index.vectors.keys())
        )
        assigned: list[tuple[Keys, ListNumbers]] = []
        step = max(1, min(MATCHED_ITEMS_AT_ONCE, MAX_BATCH_COST // centers.size))
        for start in range(0, len(keys), step):
            if self._examination.is_out_of_time:
                return None
            assigned.append(await self._assign(lists, keys[start : start + step]))
        if not assigned:
            return None
        lists.fill(*map(np.concatenate, zip(*assigned, strict=True)))
        for number in range(len(lists)):
            if not await self._reader.read_in_worker(partial(lists.keep, number=number)):
                break
        return lists

    async def _assign(self, lists: CandidateLists, keys: Keys) -> tuple[Keys, ListNumbers]:
        """Return those keys that still have vectors, and the number of the list of each."""

        def assign(item_index: ItemIndex) -> tuple[Keys, ListNumbers]:
            index = item_index.vectors
            present = [key for key in keys.tolist() if key in index]
            owned = index.get(present)
            return np.array(present, np.int64)[owned.owners], lists.assign(owned.vectors)

        return await self._reader.read_in_worker(assign)

    async def _find_list_numbers(
        self, lists: CandidateLists, item_ids: Sequence[str]
    ) -> ListNumbers:
        """Return the list of each item."""
        numbers: list[ListNumbers] = []
        for start in range(0, len(item_ids), MATCHED_ITEMS_AT_ONCE):
            batch = item_ids[start : start + MATCHED_ITEMS_AT_ONCE]

            def find(item_index: ItemIndex, batch: Sequence[str] = batch) -> ListNumbers:
                keys = [item_index.find_key(item_id) for item_id in batch]
                present = [MISSING_KEY if key is None else key for key in keys]
                return lists.get_numbers(np.array(present, np.int64))

            numbers.append(await self._reader.read_in_worker(find))
        return np.concatenate([np.empty(0, np.int32), *numbers])


def order_by_list(numbers: ListNumbers, list_count: int) -> Keys:
    """Return the order in which to examine items that are in random order, given their lists.

    It takes large parts of the items one after the other, and in each part one list after the
    other, in random order: at any time, all items are equally likely to be examined already.
    """
    generator = np.random.default_rng(DRAW_SEED)
    size = list_count * ITEMS_PER_LIST
    orders = []
    for start in range(0, len(numbers), size):
        # The last place is that of NO_LIST.
        places = np.append(generator.permutation(list_count), list_count)
        orders.append(start + np.argsort(places[numbers[start : start + size]], kind="stable"))
    return np.concatenate([np.empty(0, np.int64), *orders])


def _choose_batch_size(lists: CandidateLists) -> int:
    cost = lists.compared_vectors * lists.dimensions
    return max(MIN_BATCH_ITEMS, min(MAX_LISTED_ITEMS, int(MAX_LISTED_COST / max(cost, 1.0))))


def _needs_lists(item_index: ItemIndex) -> bool:
    """Return whether there are many vectors, and not nearly all have neighbor lists."""
    stats = item_index.maintenance.collect_stats()
    unlisted_count = stats.vectors - stats.neighbor_lists
    is_large = stats.vectors >= MIN_LISTED_VECTORS
    return is_large and unlisted_count > MAX_UNLISTED_SHARE * stats.vectors


def _draw_vectors(item_index: ItemIndex) -> tuple[Vectors, int] | None:
    """Return vectors to compute centers from, and the number of lists; None without lists."""
    vector_count = item_index.vectors.vector_count
    has_several_vectors = vector_count != len(item_index)
    if has_several_vectors or not _needs_lists(item_index):
        return None
    keys = np.random.default_rng(DRAW_SEED).permutation(item_index.vectors.keys())
    vectors = item_index.vectors.get(keys[:TRAINING_VECTORS].tolist()).vectors
    return vectors, choose_list_count(vector_count)
