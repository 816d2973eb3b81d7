"""Builds a graph segment in a background thread."""

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
from service.index.faiss_graph_storage import add_rows, create_graph, map_vectors
from service.index.faiss_pq_codes import PQCodes
from service.index.faiss_row_search import RowSearch
from service.index.low_bits import LowBits

# Rows that are added between two looks at whether the build was stopped: 0.4 s.
ADDED_ROWS = 1_024

# Links of each row on the upper levels of the graph (M), half as many as on the lowest.
GRAPH_LINKS = 16

# efConstruction. With 80 a search must be four times as broad for the same recall.
CONSTRUCTION_BREADTH = 200

# Keys, a function that returns the vectors of some rows, and which rows are live.
Block = tuple[NDArray[np.int32], Callable[[slice], Vectors], Mask]


def build_graph(
    dimensions: int,
    batches: Iterable[Vectors],
    storage: VectorStorage = VectorStorage.FLOAT32,
    ranges: ComponentRanges | None = None,
) -> tuple[faiss.IndexHNSW, LowBits]:
    """Build a graph over unit vectors; it takes 0.4 ms a vector.

    Args:
        dimensions: the width of every vector.
        batches: float32 [rows, dimensions] each.
        storage: the number format of the vectors. With 30,000 package descriptions the recall@10 of
            float16 is 0.986, and 0.987 of float32.
        ranges: for int8, those of the components of all vectors.

    Returns:
        The graph, and the bits of the vectors that it does not keep, [rows, bytes].
    """
    # In the thread that builds: OpenMP's setting is one of each thread.
    faiss.omp_set_num_threads(1)
    graph = create_graph(dimensions, GRAPH_LINKS, storage, ranges)
    graph.hnsw.efConstruction = CONSTRUCTION_BREADTH
    nothing = np.empty((0, dimensions), np.float32)
    low_bits = [add_rows(graph, vectors) for vectors in chain([nothing], batches)]
    return graph, np.concatenate(low_bits)


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
        self._blocks: list[Block] = [
            *_copy_exact(frozen),
            *(
                (segment.keys, segment.row_search.get_vectors, segment.live.copy())
                for segment in segments.values()
            ),
        ]
        self._is_stopped = False

    def run(self) -> None:
        """Build the segment; takes 0.4 ms a vector."""
        ranges = self._cover_vectors()
        if self._is_stopped:
            return
        batches = self._iterate_batches()
        graph, low_bits = build_graph(self._dimensions, batches, self._storage, ranges)
        if self._is_stopped:
            return
        keys = np.concatenate([keys[live] for keys, _, live in self._blocks])
        vectors = map_vectors(graph, low_bits)
        pq_codes = PQCodes.encode(vectors, lambda: self._is_stopped)
        if not self._is_stopped:
            self.segment = GraphSegment(RowSearch(graph, vectors, pq_codes), keys)

    def stop(self) -> None:
        """Make `run` return after the current batch."""
        self._is_stopped = True

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
