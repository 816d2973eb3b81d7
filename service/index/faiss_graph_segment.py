"""A graph segment of a large index: a FAISS HNSW graph over some vectors, some of them deleted.

Rows are never added. A row whose key is replaced or deleted is marked as deleted: graph searches
still pass through it, but it is never a hit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Mask, Vectors
from service.index.faiss_files import read_faiss_index, write_faiss_index
from service.index.faiss_graph_storage import restore_vectors
from service.index.faiss_neighbor_lists import NeighborLists
from service.index.faiss_pq_codes import AllowedRows, PQCodes
from service.index.faiss_row_search import RowSearch
from service.index.low_bits import write_low_bits
from service.index.vector_index import Hits, StateFile

# How the names of graph files in snapshots begin.
GRAPH_FILE_PREFIX = "graph-"

# How the names of PQ code files in snapshots begin.
PQ_CODES_FILE_PREFIX = "codes-"

# How the names of files with the low bits of vectors in snapshots begin.
LOW_BITS_FILE_PREFIX = "bits-"

# The names of a segment's arrays in snapshots; they belong to the snapshot format.
SEGMENT_ARRAYS = ("keys", "alive", "sum", "neighbours")

# Masks whose rows are kept, 1.1 bytes a row each: to select them takes 5 ms at a million rows.
MAX_KEPT_MASKS = 16

# Rows whose vectors are added up together; it bounds the memory that takes.
SUMMED_ROWS = 16_384

# Scores that differ by no more may be of equal vectors.
TIE_TOLERANCE = 1e-6


class GraphSegment:
    """Vectors by key in a graph. Not thread-safe.

    Args:
        row_search: the graph and the PQ codes.
        keys: int32 [rows], the key of each row; the live rows of one key are next to
            each other.
        name: of its file in snapshots; a new one by default.
        live: which rows are not deleted; all by default.
        total: the sum of the vectors that are not deleted, float64 [dimensions]; computed by
            default.
    """

    def __init__(
        self,
        row_search: RowSearch,
        keys: NDArray[np.int32],
        name: str = "",
        live: Mask | None = None,
        total: NDArray[np.float64] | None = None,
    ) -> None:
        self.name = name or f"{GRAPH_FILE_PREFIX}{uuid4().hex}.faiss"
        self.row_search = row_search
        self.keys = keys
        self.live: Mask = np.ones(len(keys), np.bool_) if live is None else live
        self.deleted = int(np.count_nonzero(~self.live))
        self.sum = self._sum_rows(np.flatnonzero(self.live)) if total is None else total
        self.neighbor_lists = NeighborLists(row_search, self.live)
        # A key's former rows, which are deleted, can be next to each other or to its present ones.
        chunks = (keys[1:] == keys[:-1]) & self.live[1:] & self.live[:-1]
        self._has_chunks = bool(chunks.any())
        self._live_rows = AllowedRows(self.live, self.deleted, row_search.pq_codes)
        self._allowed_rows: dict[int, tuple[Mask, AllowedRows]] = {}

    @classmethod
    def restore(cls, path: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> GraphSegment:
        """Make a segment from its file, which is mapped into memory, and its captured arrays.

        Raises:
            KeyError: an array is missing.
            ValueError: the file and the arrays do not belong together.
        """
        graph = read_faiss_index(path, mapped=True)
        pq_codes = PQCodes.read(path.with_name(_name_codes_file(name)))
        keys, live, total, lists = (arrays[array] for array in SEGMENT_ARRAYS)
        if not len(keys) == len(live) == graph.ntotal == len(pq_codes):
            raise ValueError(f"{path.name} has other rows")
        vectors = restore_vectors(graph, path.with_name(_name_low_bits_file(name)))
        segment = cls(RowSearch(graph, vectors, pq_codes), keys, name, live, total)
        segment.neighbor_lists.restore(lists)
        return segment

    def capture(self) -> dict[str, NDArray[Any]]:
        """Return what a snapshot needs beside the files; later writes do not change it."""
        values = (self.keys, self.live.copy(), self.sum.copy(), self.neighbor_lists.capture())
        return dict(zip(SEGMENT_ARRAYS, values, strict=True))

    def list_files(self) -> dict[str, StateFile]:
        """Return its files by name."""
        rows = self.row_search
        write_graph = partial(write_faiss_index, rows.graph)
        files = {
            self.name: StateFile(self._graph_bytes, write_graph),
            _name_codes_file(self.name): StateFile(rows.pq_codes.memory_bytes, rows.pq_codes.write),
        }
        low_bits = rows.vectors.low_bits
        if low_bits.size:
            write_bits = partial(write_low_bits, low_bits)
            files[_name_low_bits_file(self.name)] = StateFile(low_bits.nbytes, write_bits)
        return files

    @property
    def memory_bytes(self) -> int:
        """The approximate memory, including what is mapped from its file."""
        rows = self.row_search
        codes_bytes = rows.pq_codes.memory_bytes + rows.vectors.low_bits.nbytes
        own_bytes = self.keys.nbytes + self.neighbor_lists.memory_bytes
        return self._graph_bytes + codes_bytes + own_bytes

    @property
    def _graph_bytes(self) -> int:
        """The approximate memory of the graph, and the size of its file."""
        rows = self.row_search
        # A row has its links, its place among them, and its level.
        row_bytes = rows.graph.hnsw.nb_neighbors(0) * 4 + 8 + 4
        return int(rows.vectors.graph_bytes + len(self.keys) * row_bytes)

    @property
    def listed_count(self) -> int:
        """The number of rows that are not deleted and have a neighbor list."""
        listed = self.neighbor_lists.listed_rows
        return int(np.count_nonzero(self.live[:listed])) if self.deleted else listed

    def __len__(self) -> int:
        """Return the number of rows that are not deleted."""
        return len(self.keys) - self.deleted

    def find_rows(self, first: int) -> range:
        """Return all rows of a key, given its first one."""
        end = first + 1
        if self._has_chunks:
            while end < len(self.keys) and self.keys[end] == self.keys[first]:
                end += 1
        return range(first, end)

    def mark_deleted(self, first: int) -> None:
        """Mark all rows of a key as deleted, given its first one."""
        rows = self.find_rows(first)
        self.live[rows.start : rows.stop] = False
        self.deleted += len(rows)
        self.sum -= self._sum_rows(np.arange(rows.start, rows.stop))

    def mark_keys_deleted(self, keys: Mask) -> None:
        """Mark all rows of some keys as deleted, given a mask by key."""
        rows = keys[self.keys] & self.live
        self.live[rows] = False
        self.deleted += int(np.count_nonzero(rows))
        self.sum -= self._sum_rows(np.flatnonzero(rows))

    def _sum_rows(self, rows: Keys) -> NDArray[np.float64]:
        """Return the sum of the vectors of some rows."""
        total = np.zeros(self.row_search.graph.d)
        for start in range(0, len(rows), SUMMED_ROWS):
            vectors = self.row_search.get_vectors(rows[start : start + SUMMED_ROWS])
            total += vectors.sum(axis=0, dtype=np.float64)
        return total

    def iterate_blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """Yield the keys and vectors that are not deleted, up to `rows` at a time."""
        for start in range(0, len(self.keys), rows):
            block = slice(start, start + rows)
            keys, live = self.keys[block], self.live[block]
            vectors = self.row_search.get_vectors(block)
            if not live.all():
                keys, vectors = keys[live], vectors[live]
            yield keys.astype(np.int64), vectors

    def search_neighbor_list(
        self, row: int, limit: int, excluded: Collection[int], allowed: Mask | None
    ) -> Hits | None:
        """Return the nearest keys to one row's vector from its list; None if that is too short.

        The arguments are those of `search`; `excluded` includes the row's own key.
        """
        rows = None if self._has_chunks else self.neighbor_lists.get(row)
        if rows is None:
            return None
        rows = self._select_listed(rows, limit, excluded, allowed)
        if len(rows) <= limit:
            return None
        get_vectors = self.row_search.get_vectors
        scores = get_vectors(rows) @ get_vectors(row)
        if scores[limit - 1] - scores[limit] <= TIE_TOLERANCE:
            return None  # rows beyond the list may tie with the last place
        return Hits(self.keys[rows[:limit]].astype(np.int64), scores[:limit])

    def _select_listed(
        self,
        rows: NDArray[np.int32],
        limit: int,
        excluded: Collection[int],
        allowed: Mask | None,
    ) -> NDArray[np.int32]:
        """Return the first `limit` + 1 rows of a neighbor list that may be hits."""
        if not self.deleted and allowed is None and len(excluded) <= 1:
            first = rows[: limit + 1]
            return first if first[-1] >= 0 else first[first >= 0]  # missing rows come last
        passes = self.live[rows]
        passes &= rows >= 0
        keys = self.keys[rows]
        if allowed is not None:
            passes &= allowed[keys]
        if len(excluded) > 1:
            passes &= np.array([key not in excluded for key in keys.tolist()], np.bool_)
        return rows[np.flatnonzero(passes)[: limit + 1]]

    def search(
        self,
        queries: Vectors,
        limit: int,
        excluded: Collection[int],
        allowed: Mask | None,
        *,
        exact: bool,
    ) -> list[Hits]:
        """Return the nearest keys to each query, each key once; at least `limit` if possible.

        Args:
            queries: float32 [queries, dimensions].
            limit: the number of hits for each query.
            excluded: keys of this segment to leave out.
            allowed: a mask by key, or None.
            exact: compare with every row.
        """
        rows = self.select_rows(allowed)
        # One row more than the limit shows whether the last place is tied.
        fetch = min(limit + 1 + len(excluded), rows.number)
        if not fetch:
            return [Hits.empty()] * len(queries)
        while True:
            results = self.row_search.search(queries, fetch, rows, exact=exact)
            hits = [self._to_hits(*result, excluded) for result in zip(*results, strict=True)]
            if fetch == rows.number or all(_is_complete(result, limit) for result in hits):
                return hits
            # Excluded keys, several chunks of one key, or equal scores took places.
            fetch = min(2 * fetch, rows.number)

    def select_rows(self, allowed: Mask | None) -> AllowedRows:
        """Return the rows of keys that a mask allows, without deleted ones."""
        if self._live_rows.deleted != self.deleted:
            self._live_rows = AllowedRows(self.live, self.deleted, self.row_search.pq_codes)
        if allowed is None:
            return self._live_rows
        # Masks never change, and callers often use some of them in turns.
        known = self._allowed_rows.pop(id(allowed), None)
        if known is None or known[1].deleted != self.deleted:
            mask = allowed[self.keys] & self.live
            known = allowed, AllowedRows(mask, self.deleted, self.row_search.pq_codes)
            if len(self._allowed_rows) >= MAX_KEPT_MASKS:
                del self._allowed_rows[next(iter(self._allowed_rows))]
        self._allowed_rows[id(allowed)] = known  # the one used last comes last
        return known[1]

    def _to_hits(self, scores: Vectors, rows: Keys, excluded: Collection[int]) -> Hits:
        """Turn rows into keys, each once, without the excluded ones and FAISS's fillers."""
        if int(rows[-1]) < 0:
            scores, rows = scores[rows >= 0], rows[rows >= 0]
        keys: Keys = self.keys[rows].astype(np.int64)
        if excluded:
            passes = np.array([key not in excluded for key in keys.tolist()], np.bool_)
            keys, scores = keys[passes], scores[passes]
        if self._has_chunks:
            first_places = np.sort(np.unique(keys, return_index=True)[1])
            keys, scores = keys[first_places], scores[first_places]
        return Hits(keys, scores)


def is_graph_file(name: str) -> bool:
    """Return whether `GraphSegment.restore` takes a file of a snapshot."""
    return name.startswith(GRAPH_FILE_PREFIX)


def _is_complete(hits: Hits, limit: int) -> bool:
    """Return whether there are `limit` hits and all that tie with the last of them."""
    return len(hits.scores) > limit and bool(hits.scores[-1] < hits.scores[limit - 1])


def _name_codes_file(name: str) -> str:
    return name.replace(GRAPH_FILE_PREFIX, PQ_CODES_FILE_PREFIX)


def _name_low_bits_file(name: str) -> str:
    return name.replace(GRAPH_FILE_PREFIX, LOW_BITS_FILE_PREFIX).replace(".faiss", ".npy")
