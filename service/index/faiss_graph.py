"""An immutable part of a large index: a FAISS HNSW graph over some vectors, some of them void.

Rows are never added. A row whose key is replaced or deleted becomes void: it still leads the walk
on, but is never found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.base import Hits, Keys, Mask, Vectors
from service.index.planner import plan

NEIGHBOURS = 16
LISTED = 32
"""Neighbours that are listed for each row, once there was time for it; 128 bytes a row."""

LISTING_BREADTH = 320
BUILD_BREADTH = 200
"""efConstruction. With 80 a search must be four times as broad for the same recall."""

GATHER_SHARE = 0.1
"""Up to this share of the rows, copying them together is faster than FAISS's scan with a mask."""


def built(dimensions: int, batches: Iterable[Vectors], *, half: bool) -> faiss.IndexHNSW:
    """A graph over unit vectors, float32 [n, dimensions] at a time; takes 0.4 ms a vector.

    With `half` it keeps them as float16: with 30,000 package descriptions the recall@10 is 0.986
    then, and 0.987 otherwise.
    """
    # Here in the thread that builds: OpenMP's setting is each thread's own.
    faiss.omp_set_num_threads(1)
    inner_product = faiss.METRIC_INNER_PRODUCT
    if half:
        kind = faiss.ScalarQuantizer.QT_fp16
        graph = faiss.IndexHNSWSQ(dimensions, kind, NEIGHBOURS, inner_product)
    else:
        graph = faiss.IndexHNSWFlat(dimensions, NEIGHBOURS, inner_product)
    graph.hnsw.efConstruction = BUILD_BREADTH
    for vectors in batches:
        graph.add(np.ascontiguousarray(vectors))
    return graph


class GraphPart:
    """Vectors by key in a graph. Not for several threads at once.

    Args:
        graph: what `built` gave.
        keys: int32 [rows], the key of each row; those of one key are neighbours.
        name: of its file in snapshots; by default a new one.
        total: the sum of the vectors that are not void, float64 [dimensions]; by default of all.
    """

    def __init__(
        self,
        graph: faiss.IndexHNSW,
        keys: NDArray[np.int32],
        name: str = "",
        total: NDArray[np.float64] | None = None,
    ) -> None:
        self.name = name or f"graph-{uuid4().hex}.faiss"
        self.keys = keys
        self.graph = graph
        self.alive: Mask = np.ones(len(keys), np.bool_)
        self.void = 0
        self._several = bool(len(keys) and np.any(keys[1:] == keys[:-1]))
        self._storage = faiss.downcast_index(graph.storage)
        self._matrix = _mapped(self._storage, len(keys), graph.d)
        self.sum = self._matrix.sum(axis=0, dtype=np.float64) if total is None else total
        self.listed_rows = 0
        self._neighbours: NDArray[np.int32] = np.empty((len(keys), LISTED), np.int32)
        self._selector: faiss.IDSelectorBitmap | None = None
        self._last_findable: tuple[Mask | None, int, Mask] = (None, 0, self.alive)

    @classmethod
    def restored(cls, path: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> GraphPart:
        """A part from its file, which is mapped into memory, and what `arrays` gave.

        Raises:
            KeyError, ValueError: they do not belong together.
        """
        try:
            graph = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as exc:
            raise ValueError(f"{path.name} is no index") from exc
        keys, alive, lists = arrays["keys"], arrays["alive"], arrays["neighbours"]
        if not len(keys) == len(alive) == graph.ntotal:
            raise ValueError(f"{path.name} has other rows")
        part = cls(graph, keys, name, arrays["sum"])
        part.alive, part.void = alive, int(np.count_nonzero(~alive))
        part.listed_rows = len(lists)
        part._neighbours[: len(lists)] = lists
        return part

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a snapshot needs beside the graph; nothing in it changes any more."""
        return {
            "keys": self.keys,
            "alive": self.alive.copy(),
            "sum": self.sum.copy(),
            "neighbours": self._neighbours[: self.listed_rows],
        }

    def write(self, path: Path) -> None:
        """Writes the graph to a file."""
        faiss.write_index(self.graph, str(path))

    def __len__(self) -> int:
        """How many rows are not void."""
        return len(self.keys) - self.void

    def rows_of(self, first: int) -> range:
        """All rows of the key of row `first`, which is its first one."""
        last = first + 1
        if self._several:
            while last < len(self.keys) and self.keys[last] == self.keys[first]:
                last += 1
        return range(first, last)

    def bury(self, first: int) -> None:
        """Makes void all rows of the key of row `first`."""
        rows = self.rows_of(first)
        self.alive[rows.start : rows.stop] = False
        self.void += len(rows)
        self.sum -= self._matrix[rows.start : rows.stop].sum(axis=0, dtype=np.float64)
        self._selector = None

    def bury_all(self, rows: Mask) -> None:
        """Makes void the marked rows; they are whole keys, and none is void yet."""
        self.alive[rows] = False
        self.void += int(np.count_nonzero(rows))
        self.sum -= self._matrix[rows].sum(axis=0, dtype=np.float64)
        self._selector = None

    def vectors(self, rows: NDArray[np.integer[Any]] | slice | int) -> Vectors:
        """The vectors of rows, float32; where they are kept so no copies, so not to be changed."""
        vectors: Vectors = self._matrix[rows].astype(np.float32, copy=False)
        return vectors

    def blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """The keys and vectors that are not void, `rows` at a time."""
        for start in range(0, len(self.keys), rows):
            alive = self.alive[start : start + rows]
            keys, matrix = self.keys[start : start + rows], self._matrix[start : start + rows]
            if not alive.all():
                keys, matrix = keys[alive], matrix[alive]
            yield keys.astype(np.int64), matrix.astype(np.float32, copy=False)

    def listed(
        self, row: int, limit: int, excluded: Collection[int], allowed: Mask | None
    ) -> Hits | None:
        """The nearest keys to one row's vector from its list; None where that is too short.

        The arguments are those of `search`; `excluded` has the row's own key.
        """
        if row >= self.listed_rows or self._several:
            return None
        rows = self._neighbours[row]
        kept = self.alive[rows]
        kept &= rows >= 0
        keys: Keys = self.keys[rows].astype(np.int64)
        if allowed is not None:
            kept &= allowed[keys]
        if len(excluded) > 1:
            kept &= np.array([key not in excluded for key in keys.tolist()], np.bool_)
        positions = np.flatnonzero(kept)[:limit]
        if len(positions) < limit:
            return None
        return Hits(keys[positions], self.vectors(rows[positions]) @ self.vectors(row))

    def list_rows(self, rows: int) -> int:
        """Lists the neighbours of `rows` more rows, for `listed_rows` to be raised to the result.

        It may run in another thread meanwhile: it touches no list that is in use.
        """
        faiss.omp_set_num_threads(1)
        start = self.listed_rows
        parameters = faiss.SearchParametersHNSW(efSearch=LISTING_BREADTH)
        vectors = self.vectors(slice(start, start + rows))
        _, found = self.graph.search(vectors, LISTED + 1, params=parameters)
        own = np.arange(start, start + len(vectors))[:, None]
        # The row itself comes first but for its copies; one place or the last is given up.
        itself = found == own
        itself[~itself.any(axis=1), -1] = True
        end = start + len(vectors)
        self._neighbours[start:end] = found[~itself].reshape(len(vectors), LISTED)
        return end

    def search(
        self,
        queries: Vectors,
        limit: int,
        excluded: Collection[int],
        allowed: Mask | None,
        *,
        exact: bool,
    ) -> list[Hits]:
        """The nearest keys to each query, each key once, at least `limit` if there are as many.

        Args:
            queries: float32 [q, dimensions].
            limit: how many keys each may have.
            excluded: keys that must not be found.
            allowed: a mask by key, or None.
            exact: compare with every row.
        """
        rows = self._findable(allowed)
        number = len(self) if rows is None else int(np.count_nonzero(rows))
        # One hit more than asked tells whether the last place is tied.
        wanted = min(limit + 1 + len(excluded), number)
        if not wanted:
            return [Hits(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        while True:
            found = self._found(queries, wanted, rows, number, exact=exact)
            hits = [self._hits(*each, excluded) for each in zip(*found, strict=True)]
            if wanted == number or all(_complete(each, limit) for each in hits):
                return hits
            # Excluded keys, several passages of one key and equal scores took places.
            wanted = min(2 * wanted, number)

    def _found(
        self, queries: Vectors, wanted: int, rows: Mask | None, number: int, *, exact: bool
    ) -> tuple[Vectors, Keys]:
        """Scores and rows of the `wanted` nearest of `number` rows, the cheapest way."""
        chosen = plan(len(self.keys), number, wanted, self.graph.d, exact=exact)
        if chosen.breadth:
            parameters = faiss.SearchParametersHNSW(
                efSearch=chosen.breadth, sel=self._selected(rows)
            )
            scores, positions = self.graph.search(queries, wanted, params=parameters)
            if int(positions[:, -1].min()) >= 0:
                return scores, positions
            # The walk ran dry: what is left to find cannot be reached over the graph.
        if rows is not None and number <= GATHER_SHARE * len(self.keys):
            return self._gathered(queries, wanted, np.flatnonzero(rows))
        if self._matrix.dtype != np.float32:  # FAISS scans these without a selector only
            findable = self.alive if rows is None else rows
            return self._gathered(queries, wanted, np.flatnonzero(findable))
        parameters = faiss.SearchParameters(sel=self._selected(rows))
        scores, positions = self._storage.search(queries, wanted, params=parameters)
        return scores, positions

    def _findable(self, allowed: Mask | None) -> Mask | None:
        """Which rows may be found; None if that is every row that is not void."""
        if allowed is None:
            return None
        # Callers ask with one mask again and again, which never changes.
        known, void, rows = self._last_findable
        if known is not allowed or void != self.void:
            rows = allowed[self.keys]
            rows &= self.alive
            self._last_findable = (allowed, self.void, rows)
        return rows

    def _selected(self, rows: Mask | None) -> faiss.IDSelectorBitmap | None:
        if rows is not None:
            return _bitmap(rows)
        if self.void and self._selector is None:
            self._selector = _bitmap(self.alive)
        return self._selector

    def _gathered(self, queries: Vectors, wanted: int, positions: Keys) -> tuple[Vectors, Keys]:
        """The best of some rows for each query, best first."""
        scores = self._compared(queries, positions)
        if wanted < len(positions):
            best = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
        else:
            best = np.broadcast_to(np.arange(len(positions)), scores.shape)
        scores = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(scores, order, axis=1), positions[
            np.take_along_axis(best, order, axis=1)
        ]

    def _compared(self, queries: Vectors, positions: Keys) -> Vectors:
        """The cosines of each query with some rows, float32 [q, rows]."""
        if self._matrix.dtype != np.float32:
            return queries @ self.vectors(positions).T
        # Rows are read where they are: copying them together first takes three times as long.
        scores = np.empty((len(queries), len(positions)), np.float32)
        here = faiss.swig_ptr(positions), self.graph.d, 1, len(positions)
        for query, row in zip(np.ascontiguousarray(queries), scores, strict=True):
            faiss.fvec_inner_products_by_idx(
                faiss.swig_ptr(row), faiss.swig_ptr(query), faiss.swig_ptr(self._matrix), *here
            )
        return scores

    def _hits(self, scores: Vectors, rows: Keys, excluded: Collection[int]) -> Hits:
        """Rows as keys, each key once, without the excluded ones and FAISS's fillers."""
        if int(rows[-1]) < 0:
            scores, rows = scores[rows >= 0], rows[rows >= 0]
        keys: Keys = self.keys[rows].astype(np.int64)
        if excluded:
            kept = np.array([key not in excluded for key in keys.tolist()], np.bool_)
            keys, scores = keys[kept], scores[kept]
        if self._several:
            first = np.sort(np.unique(keys, return_index=True)[1])
            keys, scores = keys[first], scores[first]
        return Hits(keys, scores)


def _mapped(storage: faiss.Index, rows: int, dimensions: int) -> NDArray[np.floating[Any]]:
    """FAISS's own memory of the vectors, float32 or float16 [rows, dimensions]."""
    if isinstance(storage, faiss.IndexFlat):
        memory = faiss.rev_swig_ptr(storage.get_xb(), rows * dimensions)
    else:
        memory = faiss.rev_swig_ptr(storage.codes.data(), 2 * rows * dimensions).view(np.float16)
    matrix: NDArray[np.floating[Any]] = memory.reshape(rows, dimensions)
    return matrix


def _complete(hits: Hits, limit: int) -> bool:
    """Whether there are `limit` hits and all that tie with the last of them."""
    return len(hits.scores) > limit and bool(hits.scores[-1] < hits.scores[limit - 1])


def _bitmap(rows: Mask) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(np.packbits(rows, bitorder="little"))
