"""Builds a graph segment in a background thread.

The largest of the graphs that it replaces is copied with its links, and the other vectors are added
to it: so a vector is linked about twice in its life, however large the catalog grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import faiss
import numpy as np
from numpy.typing import NDArray

from service.domain.spaces import VectorStorage
from service.domain.vectors import Mask, Vectors
from service.index.component_ranges import ComponentRanges
from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph_segment import GraphSegment
from service.index.faiss_graph_storage import add_rows, copy_rows, create_graph, map_vectors
from service.index.faiss_pq_codes import PQCodes
from service.index.faiss_row_search import RowSearch
from service.index.low_bits import LowBits
from service.index.merge_policy import SegmentRows
from service.index.threads import BUILD_THREADS

# Rows that are added between two looks at whether the build was stopped: 0.4 s.
ADDED_ROWS = 1_024

# Keys, a function that returns the vectors of some rows, and which rows are live.
Block = tuple[NDArray[np.int32], Callable[[slice], Vectors], Mask]


class GraphBuild:
    """Builds one graph segment from a frozen exact segment and from graph segments.

    Args:
        dimensions: the width of every vector.
        frozen: the exact segment.
        segments: the graph segments by number.
        storage: the number format of the vectors.
        ranges: for int8, ranges of components from other graphs to keep, so that vectors that are
            in them keep their numbers.

    `changed_keys` collects the keys that are written during the build: their rows are outdated.
    `segment` is the result, once `run` has ended and was not stopped.
    """

    def __init__(
        self,
        dimensions: int,
        frozen: ExactIndex,
        segments: dict[int, GraphSegment],
        storage: VectorStorage = VectorStorage.FLOAT32,
        ranges: ComponentRanges | None = None,
    ) -> None:
        self.changed_keys: set[int] = set()
        self.segments = segments
        self.segment: GraphSegment
        self._dimensions = dimensions
        self._storage = storage
        self._ranges = ranges
        # Copied now: the originals change during the build.
        extended = _find_extendable(segments.values())
        self._extended = None if extended is None else (extended, extended.live.copy())
        self._blocks: list[Block] = [
            *_copy_exact(frozen),
            *(
                (segment.keys, segment.row_search.get_vectors, segment.live.copy())
                for segment in segments.values()
                if segment is not extended
            ),
        ]
        self._is_stopped = False

    @property
    def rows(self) -> int:
        """The number of vectors that are linked."""
        return sum(int(np.count_nonzero(live)) for _, _, live in self._blocks)

    def run(self) -> None:
        """Build the segment; takes 0.4 ms a vector and thread."""
        ranges = self._cover_vectors()
        if self._is_stopped:
            return
        graph = create_graph(self._dimensions, self._storage, ranges)
        low_bits = np.concatenate(list(self._add_rows(graph)))
        if self._is_stopped:
            return
        vectors = map_vectors(graph, low_bits)
        pq_codes = PQCodes.encode(vectors, lambda: self._is_stopped)
        if not self._is_stopped:
            keys, live = self._list_keys()
            self.segment = GraphSegment(RowSearch(graph, vectors, pq_codes), keys, live=live)

    def stop(self) -> None:
        """Make `run` return after the current batch."""
        self._is_stopped = True

    def _add_rows(self, graph: faiss.IndexHNSW) -> Iterator[LowBits]:
        """Add all rows, and yield the bits that the graph does not keep."""
        if self._extended is not None:
            rows = self._extended[0].row_search
            yield copy_rows(rows.graph, rows.vectors, graph, lambda: self._is_stopped)
        # In the thread that builds: OpenMP's setting is one of each thread.
        faiss.omp_set_num_threads(BUILD_THREADS)
        nothing = np.empty((0, self._dimensions), np.float32)
        for vectors in chain([nothing], self._iterate_batches()):
            yield add_rows(graph, vectors)

    def _list_keys(self) -> tuple[NDArray[np.int32], Mask]:
        """Return the keys of all rows, and which of the rows are live."""
        keys = [keys[live] for keys, _, live in self._blocks]
        live = np.ones(self.rows, np.bool_)
        if self._extended is not None:
            extended, extended_live = self._extended
            keys.insert(0, extended.keys)
            live = np.concatenate([extended_live, live])
        return np.concatenate(keys), live

    def _cover_vectors(self) -> ComponentRanges | None:
        """Return ranges that cover all vectors, for int8."""
        if self._storage is not VectorStorage.INT8:
            return None
        ranges = self._ranges
        for vectors in self._iterate_batches():
            if len(vectors):
                cover = ComponentRanges.around if ranges is None else ranges.extend
                ranges = cover(vectors.min(axis=0), vectors.max(axis=0))
        return ranges

    def _iterate_batches(self) -> Iterator[Vectors]:
        for keys, get_vectors, live in self._blocks:
            for start in range(0, len(keys), ADDED_ROWS):
                if self._is_stopped:
                    return
                rows = slice(start, start + ADDED_ROWS)
                yield get_vectors(rows)[live[rows]]


def _copy_exact(exact: ExactIndex) -> Iterator[Block]:
    """Yield an exact segment's keys and vectors as a block, if it has any."""
    keys, vectors = exact.copy_in_key_order()
    if len(keys):
        yield keys.astype(np.int32), vectors.__getitem__, np.ones(len(keys), np.bool_)


def _find_extendable(segments: Iterable[GraphSegment]) -> GraphSegment | None:
    """Return the largest segment; None if there is none, or if many of its rows are deleted."""
    largest = max(segments, key=len, default=None)
    if largest is None or SegmentRows(len(largest), largest.deleted).is_stale:
        return None
    return largest
