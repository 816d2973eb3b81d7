"""Exact search: FAISS compares the query with every vector.

Rows stay dense: the last row takes the place of a removed one, so there are no tombstones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import faiss
import numpy as np

from service.domain.index_stats import IndexStats
from service.domain.vectors import Keys, Mask, Vectors
from service.index.vector_index import (
    Build,
    Hits,
    IndexState,
    OwnedVectors,
    merge_hits,
    select_queries,
)

# One query takes 3 to 11 times as long on two threads as on one (measured on a two-core machine).
faiss.omp_set_num_threads(1)

# Up to this number of excluded rows, they are searched and dropped afterwards. Beyond it a bitmap
# of rows leaves them out (15 microseconds more at 3,000 rows, 5 more per million multiply-adds).
MAX_DROPPED_ROWS = 64


class ExactIndex:
    """A VectorIndex that compares with every vector; also a segment of a SegmentedIndex.

    Args:
        dimensions: the width of every vector.

    `sum` is the sum of all vectors, float64 [dimensions].
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.vector_count = 0
        self.sum = np.zeros(dimensions, np.float64)
        self._index = faiss.IndexFlatIP(dimensions)
        self._matrix = np.empty((0, dimensions), np.float32)
        self._rows: dict[int, int] = {}
        self._more_rows: dict[int, list[int]] = {}
        self._keys: Keys = np.empty(0, np.int64)

    @property
    def memory_bytes(self) -> int:
        """The memory of the vectors and their keys."""
        return self.vector_count * (4 * self.dimensions + 8)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._rows)

    def __contains__(self, key: int) -> bool:
        """Return whether the index has a key."""
        return key in self._rows

    def keys(self) -> Keys:
        """Return all keys, each once."""
        return np.fromiter(self._rows, np.int64, len(self._rows))

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Replace all vectors of each key; a key occurs once for each of its vectors."""
        chunked = {key for key, number in Counter(keys).items() if number > 1}
        self.delete(chunked | (self._more_rows.keys() & set(keys)))
        replaced = [position for position, key in enumerate(keys) if key in self._rows]
        if replaced:
            rows = [self._rows[keys[position]] for position in replaced]
            self.sum -= self._matrix[rows].sum(axis=0, dtype=np.float64)
            self.sum += vectors[replaced].sum(axis=0, dtype=np.float64)
            self._matrix[rows] = vectors[replaced]
        new = [position for position, key in enumerate(keys) if key not in self._rows]
        if new:
            self._append([keys[position] for position in new], vectors[new])

    def delete(self, keys: Collection[int]) -> None:
        """Remove keys; a key that is not in the index is no error."""
        before = self.vector_count
        for key in keys:
            first = self._rows.pop(key, None)
            if first is not None:
                # Backwards, so that the row that fills a gap is never one of this key's.
                for row in sorted([first, *self._more_rows.pop(key, ())], reverse=True):
                    self._remove_row(row)
        if not self._rows:
            self.sum[:] = 0.0  # instead of rounding errors
        if self.vector_count < before:
            self._index.remove_ids(faiss.IDSelectorRange(self.vector_count, before))
            self._map_rows()

    def get(self, keys: Sequence[int]) -> OwnedVectors:
        """Return a copy of the keys' vectors.

        Raises:
            KeyError: a key is not in the index.
        """
        if len(keys) == 1 and keys[0] not in self._more_rows:
            row = self._rows[keys[0]]
            return OwnedVectors(self._matrix[row : row + 1].copy(), np.zeros(1, np.int64))
        if self._more_rows.keys().isdisjoint(keys):
            rows = [self._rows[key] for key in keys]
            return OwnedVectors(self._matrix[rows], np.arange(len(rows)))
        owners = [position for position, key in enumerate(keys) for _ in self._get_rows(key)]
        rows = [row for key in keys for row in self._get_rows(key)]
        return OwnedVectors(self._matrix[rows], np.array(owners, np.int64))

    def has_vectors(self, key: int, vectors: Vectors) -> bool:
        """Return whether a key has exactly these vectors, float32 [vectors, dimensions]."""
        return key in self._rows and np.array_equal(self.get([key]).vectors, vectors)

    def iterate_blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """Yield all keys and vectors, up to `rows` at a time; no copies."""
        if 0 < self.vector_count <= rows:
            yield self._keys[: self.vector_count], self._matrix
            return
        for start in range(0, self.vector_count, rows):
            end = min(start + rows, self.vector_count)
            yield self._keys[start:end], self._matrix[start:end]

    def mean(self) -> Vectors:
        """Return the mean of all vectors, float32 [dimensions]; zeros for an empty index."""
        return (self.sum / max(self.vector_count, 1)).astype(np.float32)

    def search(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> list[Hits]:
        """Return the `limit` nearest keys to each query, float32 [queries, dimensions]."""
        del exact
        present = {key for key in exclude if key in self._rows}
        excluded = {row for key in present for row in self._get_rows(key)}
        available = len(self) - len(present)
        parameters = None
        if allowed is not None or len(excluded) > MAX_DROPPED_ROWS:
            rows = self._select_rows(excluded, allowed)
            if allowed is not None:
                available = len(np.unique(self._keys[: self.vector_count][rows]))
            parameters = faiss.SearchParameters(sel=_to_bitmap(rows))
            excluded = set()
        if available == 0 or limit == 0:
            return [Hits.empty()] * len(queries)
        # One row more than the limit shows whether the last place is tied.
        fetch = min(limit + 1 + len(excluded), self.vector_count)
        scores, rows = self._index.search(queries, fetch, params=parameters)
        limit = min(limit, available)
        return [
            self._collect_hits(*result, limit, excluded, parameters)
            for result in zip(queries, scores, rows, strict=True)
        ]

    def search_by_key(
        self,
        key: int,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """Return the `limit` nearest other keys to any vector of a key."""
        queries = select_queries(self.get([key]).vectors)
        hits = self.search(queries, limit, {key, *exclude}, allowed, exact=exact)
        return hits[0] if len(hits) == 1 else merge_hits(hits)

    def estimate_cost(self, queries: int) -> int:
        """Return the multiply-adds of a search with a number of queries."""
        return queries * self.vector_count * self.dimensions

    def start_build(self, *, quiet: bool) -> None:
        """Return None: there is nothing to build."""
        del quiet

    def finish_build(self, build: Build) -> None:
        """Raise AssertionError: no build was started."""
        del build
        raise AssertionError("the build was not started by this index")

    def cancel_build(self, build: Build) -> None:
        """Do nothing: there are no builds."""

    def capture(self) -> IndexState:
        """Return all keys and vectors, those of one key in their order."""
        keys, vectors = self.copy_in_key_order()
        return IndexState({"keys": keys, "vectors": vectors}, {})

    def copy_in_key_order(self) -> tuple[Keys, Vectors]:
        """Return a copy of all keys, ascending, and vectors, those of one key as in its upsert."""
        # Rows that filled gaps are no longer in their order.
        places = np.zeros(self.vector_count, np.int64)
        for rows in self._more_rows.values():
            places[rows] = np.arange(1, len(rows) + 1)
        order = np.lexsort((places, self._keys[: self.vector_count]))
        return self._keys[order], self._matrix[order]

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Add the captured keys and vectors.

        Raises:
            KeyError: an array is missing.
        """
        del files
        self.upsert(state.arrays["keys"].tolist(), state.arrays["vectors"])

    def collect_stats(self) -> IndexStats:
        """Return the number of vectors and their memory."""
        return IndexStats(self.vector_count, memory_bytes=self.memory_bytes)

    def _collect_hits(
        self,
        query: Vectors,
        scores: Vectors,
        rows: Keys,
        limit: int,
        excluded: set[int],
        parameters: faiss.SearchParameters | None,
    ) -> Hits:
        """Return the best keys and all that tie with the last, searching again until complete."""
        while True:
            hits = self._to_hits(scores, rows, excluded)
            is_exhausted = len(scores) >= self.vector_count or int(rows[-1]) < 0
            count = len(hits.scores)
            if is_exhausted or (count > limit and hits.scores[-1] < hits.scores[limit - 1]):
                break
            fetch = min(2 * len(scores), self.vector_count)
            all_scores, all_rows = self._index.search(query[None], fetch, params=parameters)
            scores, rows = all_scores[0], all_rows[0]
        if count <= limit:
            return hits
        end = limit
        while end < count and hits.scores[end] >= hits.scores[limit - 1]:
            end += 1
        return Hits(hits.keys[:end], hits.scores[:end])

    def _to_hits(self, scores: Vectors, rows: Keys, excluded: set[int]) -> Hits:
        """Turn rows into keys, each once, without the excluded rows and FAISS's fillers."""
        if len(excluded) == 1 and int(rows[-1]) >= 0:
            passes = rows != next(iter(excluded))  # the source item: by far the most frequent case
            scores, rows = scores[passes], rows[passes]
        elif excluded or int(rows[-1]) < 0:
            passes = np.array([row >= 0 and row not in excluded for row in rows.tolist()])
            scores, rows = scores[passes], rows[passes]
        keys = self._keys[rows]
        if self._more_rows and len(set(keys.tolist())) < len(keys):
            first_places = np.sort(np.unique(keys, return_index=True)[1])
            keys, scores = keys[first_places], scores[first_places]
        return Hits(keys, scores)

    def _get_rows(self, key: int) -> list[int]:
        return [self._rows[key], *self._more_rows.get(key, ())]

    def _append(self, keys: Sequence[int], vectors: Vectors) -> None:
        first = self.vector_count
        self.vector_count += len(keys)
        if self.vector_count > len(self._keys):
            grown = np.empty(max(self.vector_count, 2 * len(self._keys), 1024), np.int64)
            grown[:first] = self._keys[:first]
            self._keys = grown
        self._keys[first : self.vector_count] = keys
        for row, key in enumerate(keys, start=first):
            if key in self._rows:
                self._more_rows.setdefault(key, []).append(row)
            else:
                self._rows[key] = row
        added = np.ascontiguousarray(vectors, np.float32)
        self._index.add(added)
        self._map_rows()
        self.sum += added.sum(axis=0, dtype=np.float64)

    def _remove_row(self, row: int) -> None:
        """Remove a row by moving the last one to its place."""
        self.vector_count -= 1
        last = self.vector_count
        self.sum -= self._matrix[row]
        if row == last:
            return
        moved = int(self._keys[last])
        self._matrix[row] = self._matrix[last]
        self._keys[row] = moved
        if self._rows[moved] == last:
            self._rows[moved] = row
        else:
            more = self._more_rows[moved]
            more[more.index(last)] = row

    def _select_rows(self, excluded: set[int], allowed: Mask | None) -> Mask:
        """Return a mask of the rows that may be hits."""
        if allowed is None:
            rows: Mask = np.ones(self.vector_count, np.bool_)
        else:
            rows = allowed[self._keys[: self.vector_count]]
        rows[list(excluded)] = False
        return rows

    def _map_rows(self) -> None:
        """Map FAISS's own memory, which may have moved, as float32 [rows, dimensions]."""
        if self.vector_count:
            memory = faiss.rev_swig_ptr(self._index.get_xb(), self.vector_count * self.dimensions)
            self._matrix = memory.reshape(self.vector_count, self.dimensions)
        else:
            self._matrix = np.empty((0, self.dimensions), np.float32)


def _to_bitmap(rows: Mask) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(np.packbits(rows, bitorder="little"))
