"""Exact search: FAISS compares the query with every vector.

Rows stay dense: a removed row's place is taken by the last one, so there are no tombstones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import faiss
import numpy as np

from service.domain.stats import IndexStats
from service.index.vector_index import Build, Hits, IndexState, Keys, Mask, Owned, Vectors, merged

# One query runs 3 to 11 times slower on two threads than on one (measured on a two-core machine).
faiss.omp_set_num_threads(1)

OVERFETCH = 64
"""Up to so many excluded keys are searched along and dropped afterwards; beyond, a bitmap of rows
leaves them out (15 microseconds more at 3,000 rows, 5 more per million multiply-adds)."""


class ExactIndex:
    """A VectorIndex that compares with every vector."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._index = faiss.IndexFlatIP(dimensions)
        self._matrix = np.empty((0, dimensions), np.float32)
        self._rows: dict[int, int] = {}
        self._more_rows: dict[int, list[int]] = {}
        self._size = 0
        self._keys: Keys = np.empty(0, np.int64)
        self.sum = np.zeros(dimensions, np.float64)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: int) -> bool:
        """Whether it holds a key."""
        return key in self._rows

    def keys(self) -> Keys:
        """All keys, each once."""
        return np.fromiter(self._rows, np.int64, len(self._rows))

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Replaces all vectors of each key; a key comes once for each of its vectors."""
        several = {key for key, number in Counter(keys).items() if number > 1}
        self.delete(several | (self._more_rows.keys() & set(keys)))
        known = [position for position, key in enumerate(keys) if key in self._rows]
        if known:
            rows = [self._rows[keys[position]] for position in known]
            self.sum -= self._matrix[rows].sum(axis=0, dtype=np.float64)
            self.sum += vectors[known].sum(axis=0, dtype=np.float64)
            self._matrix[rows] = vectors[known]
        new = [position for position, key in enumerate(keys) if key not in self._rows]
        if new:
            self._append([keys[position] for position in new], vectors[new])

    def delete(self, keys: Collection[int]) -> None:
        """Removes keys; those that are not there are no error."""
        before = self._size
        for key in keys:
            first = self._rows.pop(key, None)
            if first is not None:
                # From the back, so that the row that fills a gap is never one of this key's.
                for row in sorted([first, *self._more_rows.pop(key, ())], reverse=True):
                    self._remove(row)
        if not self._rows:
            self.sum[:] = 0.0  # what rounding left behind
        if self._size < before:
            self._index.remove_ids(faiss.IDSelectorRange(self._size, before))
            self._map_rows()

    def vectors(self, keys: Sequence[int]) -> Owned:
        """A copy of the vectors of keys that are there.

        Raises:
            KeyError: a key is not there.
        """
        if len(keys) == 1 and keys[0] not in self._more_rows:
            row = self._rows[keys[0]]
            return Owned(self._matrix[row : row + 1].copy(), np.zeros(1, np.int64))
        if self._more_rows.keys().isdisjoint(keys):
            rows = [self._rows[key] for key in keys]
            return Owned(self._matrix[rows], np.arange(len(rows)))
        owners = [n for n, key in enumerate(keys) for _ in self._rows_of(key)]
        rows = [row for key in keys for row in self._rows_of(key)]
        return Owned(self._matrix[rows], np.array(owners, np.int64))

    def blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """All keys and vectors, `rows` at a time; not copies, so not to be kept or changed."""
        if 0 < self._size <= rows:
            yield self._keys[: self._size], self._matrix
            return
        for start in range(0, self._size, rows):
            end = min(start + rows, self._size)
            yield self._keys[start:end], self._matrix[start:end]

    def mean(self) -> Vectors:
        """The mean of all vectors, float32 [dimensions]; zeros while it is empty."""
        return (self.sum / max(self._size, 1)).astype(np.float32)

    def sample(self, rows: int) -> Vectors:
        """Up to `rows` vectors, evenly spread; not copies, so not to be kept or changed."""
        return self._matrix if self._size <= rows else self._matrix[:: -(-self._size // rows)]

    def search(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> list[Hits]:
        """The `limit` nearest keys to each of float32 [q, dimensions]; always exact."""
        del exact
        present = {key for key in exclude if key in self._rows}
        excluded = {row for key in present for row in self._rows_of(key)}
        available = len(self) - len(present)
        parameters = None
        if allowed is not None or len(excluded) > OVERFETCH:
            rows = self._selected(excluded, allowed)
            if allowed is not None:
                available = len(np.unique(self._keys[: self._size][rows]))
            parameters = faiss.SearchParameters(sel=_bitmap(rows))
            excluded = set()
        if available == 0 or limit == 0:
            empty = Hits(np.empty(0, np.int64), np.empty(0, np.float32))
            return [empty] * len(queries)
        # One hit more than asked tells whether the last place is tied.
        fetch = min(limit + 1 + len(excluded), self._size)
        scores, rows = self._index.search(queries, fetch, params=parameters)
        wanted = min(limit, available)
        return [
            self._best(query, scores[n], rows[n], wanted, excluded, parameters)
            for n, query in enumerate(queries)
        ]

    def nearest(
        self,
        key: int,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """The `limit` nearest keys to any vector of a key that is there, itself left out."""
        own = self.vectors([key]).vectors
        hits = self.search(own, limit, {key, *exclude}, allowed, exact=exact)
        return hits[0] if len(hits) == 1 else merged(hits)

    def cost(self, queries: int) -> int:
        """The multiply-adds a search with so many queries takes."""
        return queries * self._size * self.dimensions

    def due(self, *, quiet: bool) -> None:
        """Nothing: rows are dense."""
        del quiet

    def adopt(self, build: Build) -> None:
        """Nothing: nothing was due."""
        del build

    def capture(self) -> IndexState:
        """All keys and vectors, the vectors of one key in their order."""
        keys, vectors = self.in_order()
        return IndexState({"keys": keys, "vectors": vectors}, {})

    def in_order(self) -> tuple[Keys, Vectors]:
        """A copy of all keys, ascending, and vectors, those of one key as they were upserted."""
        # Rows that filled gaps are no longer in their order.
        places = np.zeros(self._size, np.int64)
        for rows in self._more_rows.values():
            places[rows] = np.arange(1, len(rows) + 1)
        order = np.lexsort((places, self._keys[: self._size]))
        return self._keys[order], self._matrix[order]

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Takes in the keys and vectors."""
        del files
        self.upsert(state.arrays["keys"].tolist(), state.arrays["vectors"])

    def stats(self) -> IndexStats:
        """How many vectors there are."""
        return IndexStats(self._size, memory_bytes=self._size * (4 * self.dimensions + 8))

    def _best(
        self,
        query: Vectors,
        scores: Vectors,
        rows: Keys,
        wanted: int,
        excluded: set[int],
        parameters: faiss.SearchParameters | None,
    ) -> Hits:
        """The `wanted` best keys and what ties with the last, searching wider until they are in."""
        while True:
            hits = self._hits(scores, rows, excluded)
            exhausted = len(scores) >= self._size or int(rows[-1]) < 0
            found = len(hits.scores)
            if exhausted or (found > wanted and hits.scores[-1] < hits.scores[wanted - 1]):
                break
            fetch = min(2 * len(scores), self._size)
            wider = self._index.search(query[None], fetch, params=parameters)
            scores, rows = wider[0][0], wider[1][0]
        if found <= wanted:
            return hits
        tied = wanted
        while tied < found and hits.scores[tied] >= hits.scores[wanted - 1]:
            tied += 1
        return Hits(hits.keys[:tied], hits.scores[:tied])

    def _hits(self, scores: Vectors, rows: Keys, excluded: set[int]) -> Hits:
        """Rows as keys, each key once, without the excluded rows and FAISS's fillers."""
        if len(excluded) == 1 and int(rows[-1]) >= 0:
            kept = rows != next(iter(excluded))  # the source item: by far the most frequent case
            scores, rows = scores[kept], rows[kept]
        elif excluded or int(rows[-1]) < 0:
            kept = np.array([row >= 0 and row not in excluded for row in rows.tolist()])
            scores, rows = scores[kept], rows[kept]
        keys = self._keys[rows]
        if self._more_rows and len(set(keys.tolist())) < len(keys):
            first = np.sort(np.unique(keys, return_index=True)[1])
            keys, scores = keys[first], scores[first]
        return Hits(keys, scores)

    def _rows_of(self, key: int) -> list[int]:
        return [self._rows[key], *self._more_rows.get(key, ())]

    def _append(self, keys: Sequence[int], vectors: Vectors) -> None:
        first = self._size
        self._size += len(keys)
        if self._size > len(self._keys):
            grown = np.empty(max(self._size, 2 * len(self._keys), 1024), np.int64)
            grown[:first] = self._keys[:first]
            self._keys = grown
        self._keys[first : self._size] = keys
        for row, key in enumerate(keys, start=first):
            if key in self._rows:
                self._more_rows.setdefault(key, []).append(row)
            else:
                self._rows[key] = row
        added = np.ascontiguousarray(vectors, np.float32)
        self._index.add(added)
        self._map_rows()
        self.sum += added.sum(axis=0, dtype=np.float64)

    def _remove(self, row: int) -> None:
        """Fills a row with the last one."""
        self._size -= 1
        last = self._size
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

    def _selected(self, excluded: set[int], allowed: Mask | None) -> Mask:
        """Which rows may be found."""
        if allowed is None:
            rows: Mask = np.ones(self._size, np.bool_)
        else:
            rows = allowed[self._keys[: self._size]]
        rows[list(excluded)] = False
        return rows

    def _map_rows(self) -> None:
        """Maps FAISS's own memory, which may have moved, as float32 [rows, dimensions]."""
        if self._size:
            memory = faiss.rev_swig_ptr(self._index.get_xb(), self._size * self.dimensions)
            self._matrix = memory.reshape(self._size, self.dimensions)
        else:
            self._matrix = np.empty((0, self.dimensions), np.float32)


def _bitmap(rows: Mask) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(np.packbits(rows, bitorder="little"))
