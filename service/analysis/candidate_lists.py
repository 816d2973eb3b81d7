"""Lists of vectors that are near each other, so that an item is compared with a few lists only.

Each vector is in the list of the nearest of some centers. With 63,000 package descriptions in 90
lists, the 9 lists nearest to an item have 15% of all vectors and 99.0% of its near-duplicates. Each
of two near-duplicates searches for the other, which finds 99.8% of the pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.analyses import Neighbor
from service.domain.vectors import Keys, Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits, VectorSearch

# Vectors for each list, while there are fewer than the most lists. For the same recall, of lists of
# 250 vectors twice as many must be searched, and comparisons with short lists take longer.
VECTORS_PER_LIST = 700

# Bytes of the vectors of lists that are kept, because the next queries search them, too: those of
# 65,000 vectors of 256 dimensions. To copy the vectors of a list takes longer than to compare them.
MAX_KEPT_BYTES = 64 * 2**20

# To assign a vector, it is compared with every center, so their number is bounded.
MAX_LISTS = 1_024

# Lists that are searched for each query at least. Where there are few lists, or the vectors form no
# clusters, a near-duplicate is often in another list than the nearest ones.
MIN_PROBES = 8

# The list of a key that has no vectors.
NO_LIST = -1

# Stands for the key of an item that has none.
MISSING_KEY = -1

# The number of the list of each key or vector.
ListNumbers = NDArray[np.int32]


class ListedVectors(NamedTuple):
    """The keys of a list, their items, and a copy of their vectors, float32 [keys, dimensions]."""

    keys: Keys
    item_ids: Sequence[str]
    vectors: Vectors


class CandidateLists:
    """The keys of an item index in lists, kept true to later writes. Not thread-safe.

    Each key has one vector.

    Args:
        item_index: the item index; writes from now on are followed.
        centers: float32 [lists, dimensions].
        max_kept_bytes: the limit of `kept_bytes`.

    `kept_bytes` is the memory of the vectors that are kept.
    """

    def __init__(
        self, item_index: ItemIndex, centers: Vectors, *, max_kept_bytes: int = MAX_KEPT_BYTES
    ) -> None:
        self._item_index = item_index
        self._centers = centers
        # More lists have fewer vectors each, and the near-duplicates of an item are in more lists.
        self._probes = min(max(MIN_PROBES, round(len(centers) ** 0.5)), len(centers))
        self._version = item_index.written_keys.version
        self._members: list[Keys] = [np.empty(0, np.int64)] * len(centers)
        self._first_numbers: ListNumbers = np.empty(0, np.int32)
        self._numbers: ListNumbers = np.empty(0, np.int32)
        self._added: dict[int, set[int]] = {}
        self._kept: dict[int, ListedVectors] = {}
        self.kept_bytes = 0
        self._max_kept_bytes = max_kept_bytes

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self._centers)

    @property
    def dimensions(self) -> int:
        """The width of every vector."""
        return int(self._centers.shape[1])

    @property
    def compared_vectors(self) -> float:
        """About the number of vectors that a query is compared with."""
        sizes = np.array([len(keys) for keys in self._members])
        # An item is more often in a large list, and near others.
        mean_size = (sizes**2).sum() / max(sizes.sum(), 1)
        return float(self._probes * mean_size)

    def assign(self, vectors: Vectors) -> ListNumbers:
        """Return the number of the list of each vector."""
        numbers: ListNumbers = (vectors @ self._centers.T).argmax(axis=1).astype(np.int32)
        return numbers

    def fill(self, keys: Keys, numbers: ListNumbers) -> None:
        """Take over the keys and the lists that `assign` returned for their vectors."""
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=len(self)))
        self._members = np.split(keys[order], ends[:-1])
        self._numbers = np.full(int(keys.max(initial=-1)) + 1, NO_LIST, np.int32)
        self._numbers[keys] = numbers
        self._first_numbers = self._numbers.copy()

    def get_numbers(self, keys: Keys) -> ListNumbers:
        """Return the lists of keys; NO_LIST for a key without vectors."""
        numbers = np.full(len(keys), NO_LIST, np.int32)
        is_known = (keys >= 0) & (keys < len(self._numbers))
        numbers[is_known] = self._numbers[keys[is_known]]
        return numbers

    def keep(self, item_index: ItemIndex, number: int) -> bool:
        """Copy the vectors of a list, which takes 1 ms, so that no search has to copy many.

        Returns:
            False if there is no room for it, or the lists cannot follow the index.
        """
        list_bytes = self._members[number].size * self.dimensions * self._centers.itemsize
        if self.kept_bytes + list_bytes > self._max_kept_bytes or not self.follow(item_index):
            return False
        self._read(number)
        return True

    def plan(self, queries: Vectors, allowed: Mask | None) -> ListSearch:
        """Return the search of the lists that are nearest to each query.

        It has the vectors as of the last call of `follow`, and can run while the index changes.

        Args:
            queries: float32 [queries, dimensions].
            allowed: the keys that may be hits; None allows every key.
        """
        chosen = self._choose(queries)
        counts = np.bincount(chosen.ravel(), minlength=len(self))
        # Most queries find their best hits in the lists that most of them search.
        numbers = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].tolist()
        return ListSearch(queries, chosen, [(n, self._read(n)) for n in numbers], allowed)

    def _read(self, number: int) -> ListedVectors:
        listed = self._kept.pop(number, None)
        if listed is None:
            keys = self._get_keys(number)
            item_ids = self._item_index.get_ids(keys.tolist())
            vectors = self._item_index.vectors.get(keys.tolist()).vectors
            listed = ListedVectors(keys, item_ids, vectors)
            self.kept_bytes += vectors.nbytes
        self._kept[number] = listed  # the one used last comes last
        while self.kept_bytes > self._max_kept_bytes:
            self._drop(next(iter(self._kept)))
        return listed

    def _choose(self, queries: Vectors) -> ListNumbers:
        """Return the lists to search for each query, [queries, lists]."""
        similarities = queries @ self._centers.T
        nearest = np.argpartition(-similarities, self._probes - 1, axis=1)[:, : self._probes]
        return nearest.astype(np.int32)

    def _get_keys(self, number: int) -> Keys:
        keys = self._members[number]
        if not self._added:
            return keys
        added = np.fromiter(self._added.get(number, ()), np.int64)
        added = added[self._first_numbers[added] != number]
        keys = np.concatenate([keys, added])
        present: Keys = keys[self._numbers[keys] == number]
        return present

    def follow(self, item_index: ItemIndex) -> bool:
        """Move the vectors that were written since the last call into their lists.

        Returns:
            False if that is impossible: the lists are those of another item index, too much was
            written, or keys have several vectors.
        """
        vectors = item_index.vectors
        if item_index is not self._item_index or vectors.vector_count != len(vectors):
            return False
        keys = item_index.written_keys.list_since(self._version)
        if keys is None:
            return False
        self._version = item_index.written_keys.version
        if keys:
            self._move(vectors, keys)
        return True

    def _move(self, index: VectorSearch, keys: Collection[int]) -> None:
        """Move keys whose vectors were written or removed."""
        missing = np.full(max(0, max(keys) + 1 - len(self._numbers)), NO_LIST, np.int32)
        self._numbers = np.concatenate([self._numbers, missing])
        self._first_numbers = np.concatenate([self._first_numbers, missing])
        for number in np.unique(self._numbers[list(keys)]).tolist():
            self._drop(number)
        self._numbers[list(keys)] = NO_LIST
        present = [key for key in keys if key in index]
        numbers = self.assign(index.get(present).vectors) if present else ()
        for key, number in zip(present, map(int, numbers), strict=True):
            self._drop(number)
            self._numbers[key] = number
            self._added.setdefault(number, set()).add(key)
        # Even if nothing was added, keys were removed.
        self._added.setdefault(NO_LIST, set())

    def _drop(self, number: int) -> None:
        """Drop the kept vectors of a list, if there are any."""
        listed = self._kept.pop(number, None)
        if listed is not None:
            self.kept_bytes -= listed.vectors.nbytes


def choose_list_count(vector_count: int) -> int:
    """Return the number of lists for a number of vectors."""
    return max(1, min(vector_count // VECTORS_PER_LIST, MAX_LISTS))


@dataclass(frozen=True, slots=True)
class ListSearch:
    """Queries, the numbers of the lists to search for each, and these lists by number."""

    queries: Vectors
    chosen: ListNumbers
    lists: Sequence[tuple[int, ListedVectors]]
    allowed: Mask | None

    def run(self, count: int, min_score: float) -> list[list[Neighbor]]:
        """Return the nearest items to each query, nearest first, equal ones by id.

        Args:
            count: the number of items for each query; there are more if several tie with the last.
            min_score: the least cosine.
        """
        hits = NearestHits(len(self.queries), count, min_score)
        item_ids: list[str] = []
        for number, listed in self.lists:
            positions = np.arange(len(item_ids), len(item_ids) + len(listed.keys))
            item_ids += listed.item_ids
            vectors = listed.vectors
            if self.allowed is not None:
                is_allowed = self.allowed[listed.keys]
                positions, vectors = positions[is_allowed], vectors[is_allowed]
            rows = np.flatnonzero((self.chosen == number).any(axis=1))
            hits.add(rows, positions, self.queries[rows] @ vectors.T)
        return [_rank(query_hits, item_ids) for query_hits in hits.collect()]


class NearestHits:
    """The best hits of several queries, by position, from one list after the other.

    Args:
        queries: the number of queries.
        count: the number of hits to find for each, and all that tie with the last.
        min_score: the least score of hits.
    """

    def __init__(self, queries: int, count: int, min_score: float) -> None:
        self._count = count
        self._min_scores = np.full(queries, min_score, np.float32)
        self._hits: list[tuple[Keys, Keys, Vectors]] = []

    def add(self, queries: Keys, positions: Keys, scores: Vectors) -> None:
        """Add the scores of some queries, by number, with vectors, [queries, positions]."""
        is_near = scores >= self._min_scores[queries, None]
        if np.count_nonzero(is_near) > self._count:
            # With as many hits in this list alone, a query needs none below the last of them.
            has_enough = np.count_nonzero(is_near, axis=1) > self._count
            last = np.partition(scores[has_enough], -self._count, axis=1)[:, -self._count]
            self._min_scores[queries[has_enough]] = last
            is_near = scores >= self._min_scores[queries, None]
        rows, columns = np.nonzero(is_near)
        self._hits.append((queries[rows], positions[columns], scores[rows, columns]))

    def collect(self) -> list[Hits]:
        """Return the hits of each query, best first."""
        if not self._hits:
            return [Hits.empty()] * len(self._min_scores)
        queries, positions, scores = map(np.concatenate, zip(*self._hits, strict=True))
        order = np.lexsort((-scores, queries))
        starts = np.searchsorted(queries[order], np.arange(1, len(self._min_scores)))
        return [
            self._cut(Hits(query_positions, query_scores))
            for query_positions, query_scores in zip(
                np.split(positions[order], starts), np.split(scores[order], starts), strict=True
            )
        ]

    def _cut(self, hits: Hits) -> Hits:
        if len(hits.scores) <= self._count:
            return hits
        reaches_last = hits.scores >= hits.scores[self._count - 1]
        return Hits(hits.keys[reaches_last], hits.scores[reaches_last])


def _rank(hits: Hits, item_ids: Sequence[str]) -> list[Neighbor]:
    """Return hits, best first, as neighbors, given the items by position."""
    nearest_ids = [item_ids[position] for position in hits.keys.tolist()]
    neighbors = list(map(Neighbor, nearest_ids, hits.scores.tolist()))
    if np.any(hits.scores[1:] == hits.scores[:-1]):
        neighbors.sort(key=lambda neighbor: (-neighbor.similarity, neighbor.item_id))
    return neighbors
