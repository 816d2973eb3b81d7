"""An immutable part of a large index: a FAISS HNSW graph over some vectors, some of them void.

Rows are never added. A row whose key is replaced or deleted becomes void: it still leads the walk
on, but is never found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.faiss_codes import Codes, Findable, written
from service.index.faiss_scan import Matrix, best
from service.index.planner import Way, by_codes, plan
from service.index.vector_index import Hits, Keys, Mask, Vectors

GRAPH = "graph-"
"""How the names of graphs' files begin."""

LISTED = 32
"""Neighbors that are listed for each row, once there was time for it; 128 bytes a row."""

LISTING_BREADTH = 320
TIE = 1e-6
"""Scores so close may be of equal vectors."""

GATHER_SHARE = 0.1
"""Up to this share of the rows, copying them together is faster than FAISS's scan with a mask."""


class GraphPart:
    """Vectors by key in a graph. Not for several threads at once.

    Args:
        graph: an HNSW graph, over float32 or float16.
        codes: those of its rows.
        keys: int32 [rows], the key of each row; those of one key are neighbors.
        name: of its file in snapshots; by default a new one.
        total: the sum of the vectors that are not void, float64 [dimensions]; by default of all.
    """

    def __init__(
        self,
        graph: faiss.IndexHNSW,
        codes: Codes,
        keys: NDArray[np.int32],
        name: str = "",
        total: NDArray[np.float64] | None = None,
    ) -> None:
        self.name = name or f"{GRAPH}{uuid4().hex}.faiss"
        self.keys = keys
        self.graph = graph
        self._codes = codes
        self.alive: Mask = np.ones(len(keys), np.bool_)
        self.void = 0
        self._several = bool(len(keys) and np.any(keys[1:] == keys[:-1]))
        self._storage = faiss.downcast_index(graph.storage)
        self._matrix = matrix_of(graph)
        self.sum = self._matrix.sum(axis=0, dtype=np.float64) if total is None else total
        self.listed_rows = 0
        self._neighbors: NDArray[np.int32] = np.empty((len(keys), LISTED), np.int32)
        self._living = Findable(self.alive, 0, codes)
        self._last_findable: tuple[Mask | None, Findable] = (None, self._living)

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
        codes = Codes.read(path.with_name(_codes_name(name)))
        keys, alive, lists = arrays["keys"], arrays["alive"], arrays["neighbours"]
        if not len(keys) == len(alive) == graph.ntotal == len(codes):
            raise ValueError(f"{path.name} has other rows")
        part = cls(graph, codes, keys, name, arrays["sum"])
        part.alive, part.void = alive, int(np.count_nonzero(~alive))
        part.listed_rows = len(lists)
        part._neighbors[: len(lists)] = lists
        return part

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a snapshot needs beside the graph; nothing in it changes any more."""
        return {
            "keys": self.keys,
            "alive": self.alive.copy(),
            "sum": self.sum.copy(),
            "neighbours": self._neighbors[: self.listed_rows],
        }

    def files(self) -> dict[str, Callable[[Path], None]]:
        """How to write each of its files, by name."""
        return {
            self.name: partial(written, self.graph),
            _codes_name(self.name): self._codes.write,
        }

    @property
    def memory_bytes(self) -> int:
        """About the memory it takes, what is mapped from its file included."""
        links = len(self.keys) * self.graph.hnsw.nb_neighbors(0) * 4
        own = self.keys.nbytes + self._neighbors.nbytes + self._codes.memory_bytes
        return int(self._matrix.nbytes + links + own)

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

    def bury_all(self, rows: Mask) -> None:
        """Makes void the marked rows; they are whole keys, and none is void yet."""
        self.alive[rows] = False
        self.void += int(np.count_nonzero(rows))
        self.sum -= self._matrix[rows].sum(axis=0, dtype=np.float64)

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
        rows = self._neighbors[row]
        kept = self.alive[rows]
        kept &= rows >= 0
        keys: Keys = self.keys[rows].astype(np.int64)
        if allowed is not None:
            kept &= allowed[keys]
        if len(excluded) > 1:
            kept &= np.array([key not in excluded for key in keys.tolist()], np.bool_)
        positions = np.flatnonzero(kept)[: limit + 1]
        if len(positions) <= limit:
            return None
        scores = self.vectors(rows[positions]) @ self.vectors(row)
        if scores[limit - 1] - scores[limit] <= TIE:
            return None  # others beyond the list may tie with the last place
        return Hits(keys[positions[:limit]], scores[:limit])

    def list_rows(self, rows: int) -> int:
        """Lists the neighbors of `rows` more rows, for `listed_rows` to be raised to the result.

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
        self._neighbors[start:end] = found[~itself].reshape(len(vectors), LISTED)
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
        # One hit more than asked tells whether the last place is tied.
        wanted = min(limit + 1 + len(excluded), rows.number)
        if not wanted:
            return [Hits(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        while True:
            found = self._found(queries, wanted, rows, exact=exact)
            hits = [self._hits(*each, excluded) for each in zip(*found, strict=True)]
            if wanted == rows.number or all(_complete(each, limit) for each in hits):
                return hits
            # Excluded keys, several chunks of one key and equal scores took places.
            wanted = min(2 * wanted, rows.number)

    def _found(
        self, queries: Vectors, wanted: int, rows: Findable, *, exact: bool
    ) -> tuple[Vectors, Keys]:
        """Scores and rows of the `wanted` nearest of those that may be found, the cheapest way."""
        chosen = plan(len(self), rows.number, wanted, self.graph.d, exact=exact)
        if chosen.way is Way.WALK:
            return self._walked(queries, wanted, chosen.depth, rows)
        if chosen.way is Way.CODES:
            return self._by_codes(queries, wanted, rows)
        return self._scanned(queries, wanted, rows)

    def _walked(
        self, queries: Vectors, wanted: int, depth: int, rows: Findable
    ) -> tuple[Vectors, Keys]:
        """Walks over the graph; void rows are passed through."""
        parameters = faiss.SearchParametersHNSW(
            efSearch=depth * len(self.keys) // rows.number,
            sel=None if rows.number == len(self.keys) else rows.selector,
        )
        scores, positions = self.graph.search(queries, wanted, params=parameters)
        if int(positions[:, -1].min()) < 0:
            # The walk ran dry: what is left to find cannot be reached over the graph.
            return self._by_codes(queries, wanted, rows)
        return scores, positions

    def _by_codes(self, queries: Vectors, wanted: int, rows: Findable) -> tuple[Vectors, Keys]:
        """Compares in full those that are the best by code."""
        depth = by_codes(len(self), rows.number, wanted, self.graph.d).depth
        if rows.number <= depth:
            return self._scanned(queries, wanted, rows)
        near = [self._codes.nearest(query, depth, rows) for query in np.ascontiguousarray(queries)]
        if min(map(len, near)) < wanted:
            # FAISS leaves out the lowest score that codes can have, which a zero vector's all have.
            return self._scanned(queries, wanted, rows)
        found = [
            best(self._matrix, query[None], wanted, positions)
            for query, positions in zip(queries, near, strict=True)
        ]
        scores, positions = zip(*found, strict=True)
        return np.concatenate(scores), np.concatenate(positions)

    def _scanned(self, queries: Vectors, wanted: int, rows: Findable) -> tuple[Vectors, Keys]:
        """Compares with all that may be found."""
        # FAISS scans with a selector what is float32 only.
        if rows.number <= GATHER_SHARE * len(self.keys) or self._matrix.dtype != np.float32:
            return best(self._matrix, queries, wanted, np.flatnonzero(rows.mask))
        parameters = faiss.SearchParameters(sel=rows.selector)
        scores, positions = self._storage.search(queries, wanted, params=parameters)
        return scores, positions

    def _findable(self, allowed: Mask | None) -> Findable:
        """Which rows may be found."""
        if self._living.void != self.void:
            self._living = Findable(self.alive, self.void, self._codes)
        if allowed is None:
            return self._living
        # Callers ask with one mask again and again, which never changes.
        known, rows = self._last_findable
        if known is not allowed or rows.void != self.void:
            rows = Findable(allowed[self.keys] & self.alive, self.void, self._codes)
            self._last_findable = (allowed, rows)
        return rows

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


def matrix_of(graph: faiss.IndexHNSW) -> Matrix:
    """The graph's own memory of its vectors, float32 or float16 [rows, dimensions]."""
    storage = faiss.downcast_index(graph.storage)
    rows, dimensions = graph.ntotal, graph.d
    if isinstance(storage, faiss.IndexFlat):
        memory = faiss.rev_swig_ptr(storage.get_xb(), rows * dimensions)
    else:
        memory = faiss.rev_swig_ptr(storage.codes.data(), 2 * rows * dimensions).view(np.float16)
    matrix: Matrix = memory.reshape(rows, dimensions)
    return matrix


def is_graph(name: str) -> bool:
    """Whether a file of a snapshot is one that `GraphPart.restored` wants."""
    return name.startswith(GRAPH)


def _complete(hits: Hits, limit: int) -> bool:
    """Whether there are `limit` hits and all that tie with the last of them."""
    return len(hits.scores) > limit and bool(hits.scores[-1] < hits.scores[limit - 1])


def _codes_name(name: str) -> str:
    return name.replace(GRAPH, "codes-")
