"""Builds a graph segment in a background thread.

The largest of the graphs that it replaces is copied with its links, and the other vectors are added
to it: so a vector is linked about twice in its life, however large the catalog grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Mask, Vectors
from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph_segment import GraphSegment
from service.index.faiss_pq_codes import PQCodes
from service.index.faiss_row_search import RowSearch, map_graph_vectors
from service.index.merge_policy import SegmentRows
from service.index.threads import BUILD_THREADS

# Rows that are added between two looks at whether the build was stopped: 0.4 s.
ADDED_ROWS = 1_024

# Links of each row on the upper levels of the graph (M), half as many as on the lowest.
GRAPH_LINKS = 16

# efConstruction. With 80 a search must be four times as broad for the same recall.
CONSTRUCTION_BREADTH = 200

# Keys, a function that returns the vectors of some rows, and which rows are live.
Block = tuple[NDArray[np.int32], Callable[[slice], Vectors], Mask]


def make_graph(dimensions: int, *, float16: bool) -> faiss.IndexHNSW:
    """Return an empty graph over unit vectors.

    Args:
        dimensions: the width of every vector.
        float16: keep the vectors as float16: with 30,000 package descriptions the recall@10 is then
            0.986, and 0.987 otherwise.
    """
    inner_product = faiss.METRIC_INNER_PRODUCT
    if float16:
        kind = faiss.ScalarQuantizer.QT_fp16
        graph = faiss.IndexHNSWSQ(dimensions, kind, GRAPH_LINKS, inner_product)
    else:
        graph = faiss.IndexHNSWFlat(dimensions, GRAPH_LINKS, inner_product)
    graph.hnsw.efConstruction = CONSTRUCTION_BREADTH
    return graph


def copy_rows(source: faiss.IndexHNSW, target: faiss.IndexHNSW) -> None:
    """Copy all rows and links of a graph to an empty one of the same kind.

    FAISS's own copy of a graph that is mapped from a file cannot grow.
    """
    links, copied = source.hnsw, target.hnsw
    for name in ("levels", "offsets"):
        values = faiss.vector_to_array(getattr(links, name))
        faiss.copy_array_to_vector(values, getattr(copied, name))
    _copy_memory(links.neighbors, copied.neighbors)
    copied.entry_point, copied.max_level = links.entry_point, links.max_level
    storage, copied_storage = map(faiss.downcast_index, (source.storage, target.storage))
    _copy_memory(storage.codes, copied_storage.codes)
    target.ntotal = copied_storage.ntotal = source.ntotal


class GraphBuild:
    """Builds one graph segment from a frozen exact segment and from graph segments.

    Args:
        dimensions: the width of every vector.
        frozen: the exact segment.
        segments: the graph segments by number.
        float16: keep the vectors as float16.

    `changed_keys` collects the keys that are written during the build: their rows are outdated.
    `segment` is the result, once `run` has ended and was not stopped.
    """

    def __init__(
        self,
        dimensions: int,
        frozen: ExactIndex,
        segments: dict[int, GraphSegment],
        *,
        float16: bool,
    ) -> None:
        self.changed_keys: set[int] = set()
        self.segments = segments
        self.segment: GraphSegment
        self._graph = make_graph(dimensions, float16=float16)
        # Copied now: the originals change during the build.
        self._extended = _find_extendable(segments.values())
        self._extended_live = None if self._extended is None else self._extended.live.copy()
        self._blocks: list[Block] = [
            *_copy_exact(frozen),
            *(
                (segment.keys, segment.row_search.get_vectors, segment.live.copy())
                for segment in segments.values()
                if segment is not self._extended
            ),
        ]
        self._is_stopped = False

    @property
    def rows(self) -> int:
        """The number of vectors that are linked."""
        return sum(int(np.count_nonzero(live)) for _, _, live in self._blocks)

    def run(self) -> None:
        """Build the segment; takes 0.4 ms a vector and thread, and 0.5 s a million to extend."""
        keys = [keys[live] for keys, _, live in self._blocks]
        live = np.ones(self.rows, np.bool_)
        if self._extended is not None and self._extended_live is not None:
            copy_rows(self._extended.row_search.graph, self._graph)
            keys.insert(0, self._extended.keys)
            live = np.concatenate([self._extended_live, live])
        # In the thread that builds: OpenMP's setting is one of each thread.
        faiss.omp_set_num_threads(BUILD_THREADS)
        for vectors in self._iterate_batches():
            self._graph.add(np.ascontiguousarray(vectors))
        if self._is_stopped:
            return
        matrix = map_graph_vectors(self._graph)
        pq_codes = PQCodes.encode(matrix, lambda: self._is_stopped)
        if not self._is_stopped:
            rows = RowSearch(self._graph, pq_codes)
            self.segment = GraphSegment(rows, np.concatenate(keys), live=live)

    def stop(self) -> None:
        """Make `run` return after the current batch."""
        self._is_stopped = True

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
    """Return the largest segment, unless so many of its rows are deleted that all are linked anew.

    None if there is no segment.
    """
    largest = max(segments, key=len, default=None)
    if largest is None or SegmentRows(len(largest), largest.deleted).is_stale:
        return None
    return largest


def _copy_memory(
    source: faiss.MaybeOwnedVectorInt32 | faiss.MaybeOwnedVectorUInt8,
    target: faiss.MaybeOwnedVectorInt32 | faiss.MaybeOwnedVectorUInt8,
) -> None:
    """Copy the memory of a graph, which may be that of a mapped file, to another graph."""
    target.resize(source.size())
    faiss.rev_swig_ptr(target.data(), source.size())[:] = faiss.rev_swig_ptr(
        source.data(), source.size()
    )
