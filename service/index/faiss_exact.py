"""Exact search: FAISS compares the query with every vector.

Rows stay dense: a removed row's place is taken by the last one, so there are no tombstones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import faiss
import numpy as np

from service.index.base import Hits, Keys, Vectors

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
        self._keys: Keys = np.empty(0, np.int64)
        self._sum = np.zeros(dimensions, np.float64)

    def __len__(self) -> int:
        return len(self._rows)

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Sets the vector of each key; keys are distinct."""
        new = [position for position, key in enumerate(keys) if key not in self._rows]
        known = [position for position, key in enumerate(keys) if key in self._rows]
        if known:
            rows = [self._rows[keys[position]] for position in known]
            self._sum -= self._matrix[rows].sum(axis=0, dtype=np.float64)
            self._sum += vectors[known].sum(axis=0, dtype=np.float64)
            self._matrix[rows] = vectors[known]
        if new:
            added = np.ascontiguousarray(vectors[new], np.float32)
            first = len(self)
            self._rows.update((keys[position], first + n) for n, position in enumerate(new))
            self._reserve(len(self))
            self._keys[first : len(self)] = [keys[position] for position in new]
            self._index.add(added)
            self._map_rows()
            self._sum += added.sum(axis=0, dtype=np.float64)

    def delete(self, keys: Collection[int]) -> None:
        """Removes keys; those that are not there are no error."""
        matrix = self._matrix
        before = len(self)
        for key in keys:
            row = self._rows.pop(key, None)
            if row is None:
                continue
            self._sum -= matrix[row]
            last = len(self._rows)
            if row != last:
                moved = int(self._keys[last])
                matrix[row] = matrix[last]
                self._keys[row] = moved
                self._rows[moved] = row
        if not self._rows:
            self._sum[:] = 0.0  # what rounding left behind
        if len(self) < before:
            self._index.remove_ids(faiss.IDSelectorRange(len(self), before))
            self._map_rows()

    def vectors(self, keys: Sequence[int]) -> Vectors:
        """The vectors of keys that are there, a copy, float32 [len(keys), dimensions].

        Raises:
            KeyError: a key is not there.
        """
        copied: Vectors = self._matrix[[self._rows[key] for key in keys]]
        return copied

    def mean(self) -> Vectors:
        """The mean of all vectors, float32 [dimensions]; zeros while it is empty."""
        return (self._sum / max(len(self), 1)).astype(np.float32)

    def search(self, queries: Vectors, limit: int, exclude: Collection[int] = ()) -> list[Hits]:
        """The `limit` nearest keys to each of float32 [q, dimensions], leaving out `exclude`."""
        excluded = {self._rows[key] for key in exclude if key in self._rows}
        available = len(self) - len(excluded)
        if available == 0 or limit == 0:
            empty = Hits(np.empty(0, np.int64), np.empty(0, np.float32))
            return [empty] * len(queries)
        selector = self._all_but(excluded) if len(excluded) > OVERFETCH else None
        spare = 0 if selector is not None else len(excluded)
        # One hit more than asked tells whether the last place is tied.
        fetch = min(limit + 1, available) + spare
        parameters = None if selector is None else faiss.SearchParameters(sel=selector)
        scores, rows = self._index.search(queries, fetch, params=parameters)
        return [
            self._ranked(query, scores[n], rows[n], limit, excluded, parameters)
            for n, query in enumerate(queries)
        ]

    def cost(self, queries: int) -> int:
        """The multiply-adds a search with so many queries takes."""
        return queries * len(self) * self.dimensions

    def _ranked(
        self,
        query: Vectors,
        scores: Vectors,
        rows: Keys,
        limit: int,
        excluded: set[int],
        parameters: faiss.SearchParameters | None,
    ) -> Hits:
        if excluded and parameters is None:
            kept = np.array([row not in excluded for row in rows.tolist()])
            scores, rows = scores[kept], rows[kept]
        # FAISS breaks ties as it likes: where the last place is tied, fetch the whole tie.
        while len(scores) > limit and scores[limit - 1] == scores[-1]:
            fetch = min(2 * len(scores) + len(excluded), len(self))
            wider_scores, wider_rows = self._index.search(query[None], fetch, params=parameters)
            keep = [n for n, row in enumerate(wider_rows[0].tolist()) if row not in {-1, *excluded}]
            if len(keep) <= len(scores):
                break
            scores, rows = wider_scores[0][keep], wider_rows[0][keep]
        if len(scores) > limit:
            wanted = int(np.count_nonzero(scores >= scores[limit - 1]))
            scores, rows = scores[:wanted], rows[:wanted]
        return Hits(self._keys[rows], scores)

    def _all_but(self, rows: set[int]) -> faiss.IDSelectorBitmap:
        kept = np.ones(len(self), np.bool_)
        kept[list(rows)] = False
        return faiss.IDSelectorBitmap(np.packbits(kept, bitorder="little"))

    def _reserve(self, rows: int) -> None:
        if rows > len(self._keys):
            grown = np.empty(max(rows, 2 * len(self._keys), 1024), np.int64)
            grown[: len(self._keys)] = self._keys
            self._keys = grown

    def _map_rows(self) -> None:
        """Maps FAISS's own memory, which may have moved, as float32 [rows, dimensions]."""
        rows = int(self._index.ntotal)
        if rows:
            memory: Vectors = faiss.rev_swig_ptr(self._index.get_xb(), rows * self.dimensions)
            self._matrix = memory.reshape(rows, self.dimensions)
        else:
            self._matrix = np.empty((0, self.dimensions), np.float32)
