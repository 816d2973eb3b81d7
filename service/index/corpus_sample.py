"""A sample of a catalog's vectors, chosen by hashes of item ids.

Which vectors it has depends only on what the catalog holds: not on the order in which items were
stored, nor on the place of a vector in an index. So all replicas and all copies of a catalog have
the same sample. (It is a bottom-k sample: Cohen and Kaplan, 2007.)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Vectors
from service.index.vector_index import VectorSearch

# Vectors that represent the catalog. On the film likes of 243 people, with the local model
# static-minilm-256, recall@20 is 0.047 with all 3,000 films, 0.043 to 0.046 with 1,000 to 1,500
# of them, and 0.037 with 256.
CORPUS_SAMPLE_VECTORS = 4_096

ID_HASH_BYTES = 8
HASH_LIMIT = 256**ID_HASH_BYTES

# The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), for the vectors of one item.
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
MIX_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))

# Keys read at a time.
BLOCK_ROWS = 65_536


class _Entry(NamedTuple):
    """A vector by its hash: the key of its item, and its position among the item's vectors."""

    hash: int
    key: int
    position: int


class CorpusSample:
    """The vectors with the lowest hashes, or all if there are few. Not thread-safe.

    Entries are kept for twice as many vectors as the sample has, so that deletions seldom make it
    necessary to hash all ids. There are none as long as the catalog is smaller than the sample.

    Args:
        vectors: the index to take the vectors from.
        get_ids: returns the item ids of keys.
        size: the number of vectors in the sample.
    """

    def __init__(
        self,
        vectors: VectorSearch,
        get_ids: Callable[[Iterable[int]], list[str]],
        size: int = CORPUS_SAMPLE_VECTORS,
    ) -> None:
        self._vectors = vectors
        self._get_ids = get_ids
        self._size = size
        self._entries: list[_Entry] = []
        self._entries_by_key: dict[int, list[_Entry]] = {}
        self._bound = HASH_LIMIT
        self._rows: dict[_Entry, int] = {}
        self._matrix: Vectors = np.empty((0, vectors.dimensions), np.float32)
        self._is_current = False

    def read(self) -> Vectors:
        """Return the sampled vectors, float32 [up to `size`, dimensions].

        The array is not a copy: do not change it, nor use it after the next write.
        """
        if self._vectors.vector_count <= self._size:
            blocks = list(self._vectors.iterate_blocks(self._size))
            if len(blocks) == 1:
                return blocks[0][1]
        if len(self._entries) < min(self._size, self._vectors.vector_count):
            self.choose()
        if not self._is_current:
            self._gather()
        return self._matrix

    def replace(self, keys: Sequence[int]) -> None:
        """Note that vectors were written; a key occurs once for each of its vectors."""
        if not self._entries:
            if self._vectors.vector_count > self._size:
                self.choose()
            return
        counts = Counter(keys)
        self.discard(counts)
        numbers = np.fromiter(counts.values(), np.int64, len(counts))
        for entry in self._hash_below_bound(np.array(list(counts), np.int64), numbers):
            self._add(entry)

    def discard(self, keys: Collection[int]) -> None:
        """Note that keys were removed; one that is not in the sample is no error."""
        for key in keys:
            for entry in self._entries_by_key.pop(key, ()):
                del self._entries[bisect_left(self._entries, entry)]
                if self._rows.pop(entry, None) is not None:
                    self._is_current = False

    def choose(self) -> None:
        """Choose from all vectors in the index."""
        counts = np.zeros(0, np.int64)
        for keys, _ in self._vectors.iterate_blocks(BLOCK_ROWS):
            counts = _add_counts(counts, np.bincount(keys))
        keys = np.flatnonzero(counts)
        self._bound = HASH_LIMIT
        entries = self._hash_below_bound(keys, counts[keys], limit=2 * self._size)
        self._entries, self._entries_by_key = [], {}
        self._rows.clear()
        self._is_current = False
        for entry in entries:
            self._add(entry)

    def _add(self, entry: _Entry) -> None:
        """Add an entry below the bound, and lower the bound if there are too many."""
        insort(self._entries, entry)
        self._entries_by_key.setdefault(entry.key, []).append(entry)
        if len(self._entries) <= self._size or entry < self._entries[self._size]:
            self._is_current = False
        if len(self._entries) > 2 * self._size:
            last = self._entries.pop()
            self._bound = last.hash
            of_key = self._entries_by_key[last.key]
            of_key.remove(last)
            if not of_key:
                del self._entries_by_key[last.key]

    def _hash_below_bound(
        self, keys: Keys, counts: NDArray[np.int64], limit: int | None = None
    ) -> list[_Entry]:
        """Return an entry for each vector of keys with a hash below the bound.

        Args:
            keys: distinct keys.
            counts: the number of vectors of each key.
            limit: the number of lowest hashes to return; the bound is lowered to the first beyond.
        """
        ids = self._get_ids(keys.tolist())
        positions = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        hashes = _mix(np.repeat(_hash_ids(ids), counts), positions)
        owners = np.repeat(keys, counts)
        if limit is not None and len(hashes) > limit:
            self._bound = int(np.partition(hashes, limit)[limit])
        chosen = np.flatnonzero(hashes < self._bound) if self._bound < HASH_LIMIT else slice(None)
        columns = (hashes[chosen], owners[chosen], positions[chosen])
        return list(map(_Entry, *(column.tolist() for column in columns)))

    def _gather(self) -> None:
        """Copy the vectors of the first entries: those that were sampled before from there."""
        entries = self._entries[: self._size]
        former_rows = np.array([self._rows.get(entry, -1) for entry in entries], np.int64)
        matrix = np.empty((len(entries), self._vectors.dimensions), np.float32)
        is_kept = former_rows >= 0
        matrix[is_kept] = self._matrix[former_rows[is_kept]]
        new_rows: dict[int, list[int]] = {}
        for row in np.flatnonzero(~is_kept).tolist():
            new_rows.setdefault(entries[row].key, []).append(row)
        # One key at a time, because a key can have thousands of vectors.
        for key, rows in new_rows.items():
            vectors = self._vectors.get([key]).vectors
            matrix[rows] = vectors[[entries[row].position for row in rows]]
        self._matrix = matrix
        self._rows = {entry: row for row, entry in enumerate(entries)}
        self._is_current = True


def _hash_ids(ids: Sequence[str]) -> NDArray[np.uint64]:
    digests = [blake2b(item_id.encode(), digest_size=ID_HASH_BYTES).digest() for item_id in ids]
    return np.frombuffer(b"".join(digests), "<u8")


def _mix(hashes: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash for each vector, given that of its item and its position."""
    mixed = hashes + positions.astype(np.uint64) * GOLDEN_GAMMA
    for shift, multiplier in zip(MIX_SHIFTS, MIX_MULTIPLIERS, strict=False):
        mixed = (mixed ^ (mixed >> shift)) * multiplier
    result: NDArray[np.uint64] = mixed ^ (mixed >> MIX_SHIFTS[-1])
    return result


def _add_counts(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sums of two arrays of counts by key, which may have different lengths."""
    total = np.zeros(max(len(first), len(second)), np.int64)
    total[: len(first)] += first
    total[: len(second)] += second
    return total
