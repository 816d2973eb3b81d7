"""An index for catalogs of any size: a small exact segment for new vectors, graphs for the rest.

Writes go to the fresh exact segment. Once it is large it is frozen, and a graph is built in the
background over it and the smaller graphs, and replaces them; until then they are still searched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import faiss
import numpy as np

from service.domain.index_stats import IndexStats
from service.domain.spaces import VectorStorage
from service.domain.vectors import Keys, Mask, Vectors
from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph_build import GraphBuild
from service.index.faiss_graph_segment import GraphSegment
from service.index.faiss_graph_segments import NO_SEGMENT, GraphSegments
from service.index.faiss_graph_storage import unite_ranges
from service.index.faiss_neighbor_lists import NeighborListBuild
from service.index.merge_policy import SegmentRows, choose_merge
from service.index.planner import GRAPH_BREADTH, GRAPH_CANDIDATE_NS
from service.index.vector_index import (
    Build,
    Hits,
    IndexState,
    OwnedVectors,
    combine_segment_hits,
    merge_hits,
    select_queries,
)

# Vectors from which on there are graphs. Their neighbor lists answer queries by item without a
# scan, which takes 0.03 ms for 1,000 vectors and 0.4 ms for 20,000; a build takes 0.1 s and 3 s.
FIRST_GRAPH_VECTORS = 1_000

# New vectors, beside graphs, from which on they are built in: scanning them takes 0.2 ms.
NEXT_GRAPH_VECTORS = 8_000

# The same as a share of the vectors in graphs, for small catalogs, where a build is short.
NEXT_GRAPH_SHARE = 0.25

# Converts the planner's estimates to multiply-adds.
MULTIPLY_ADDS_PER_NS = 10


class SegmentedIndex:
    """A VectorIndex of an exact segment and graph segments.

    A key is in one segment. The fresh segment takes new vectors. There is a frozen one while a
    graph is being built over it. Both are searched by comparing with every vector.

    Args:
        dimensions: the width of every vector.
        storage: the number format of the vectors in graphs.
        first_graph_vectors: the number of vectors from which on the first graph is built.
        next_graph_vectors: the number of new vectors from which on the next one is built; fewer
            while there are few vectors in graphs.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        storage: VectorStorage = VectorStorage.FLOAT32,
        first_graph_vectors: int = FIRST_GRAPH_VECTORS,
        next_graph_vectors: int = NEXT_GRAPH_VECTORS,
    ) -> None:
        self.dimensions = dimensions
        self._fresh = ExactIndex(dimensions)
        self._frozen: ExactIndex | None = None
        self._graphs = GraphSegments()
        self._storage = storage
        self._first_graph_vectors = first_graph_vectors
        self._next_graph_vectors = next_graph_vectors
        self._graph_build: GraphBuild | None = None
        self._list_build: NeighborListBuild | None = None

    @property
    def vector_count(self) -> int:
        """The number of vectors."""
        exact_count = sum(segment.vector_count for segment in self._list_exact_segments())
        # A copy: a build may be put into use in another thread.
        return exact_count + sum(map(len, list(self._graphs.segments.values())))

    def __len__(self) -> int:
        """Return the number of keys."""
        return sum(map(len, self._list_exact_segments())) + len(self._graphs)

    def __contains__(self, key: int) -> bool:
        """Return whether the index has a key."""
        if key in self._fresh or key in self._graphs:
            return True
        return self._frozen is not None and key in self._frozen

    def keys(self) -> Keys:
        """Return all keys, each once, ascending."""
        exact_keys = [segment.keys() for segment in self._list_exact_segments()]
        return np.sort(np.concatenate([self._graphs.keys(), *exact_keys]), kind="stable")

    def get(self, keys: Sequence[int]) -> OwnedVectors:
        """Return a copy of the keys' vectors.

        Raises:
            KeyError: a key is not in the index.
        """
        if not keys or not self._has_older_segments():
            return self._fresh.get(keys)
        vectors = [self._get_vectors(key) for key in keys]
        owners = np.repeat(np.arange(len(keys)), list(map(len, vectors)))
        return OwnedVectors(np.concatenate(vectors), owners)

    def has_vectors(self, key: int, vectors: Vectors) -> bool:
        """Return whether a key has these vectors, as precisely as its segment keeps them."""
        if key in self._graphs:
            return self._graphs.has_vectors(key, vectors)
        return any(segment.has_vectors(key, vectors) for segment in self._list_exact_segments())

    def iterate_blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """Yield all keys and vectors, up to `rows` at a time; not always copies."""
        for segment in self._iterate_segments():
            yield from segment.iterate_blocks(rows)

    def mean(self) -> Vectors:
        """Return the mean of all vectors, float32 [dimensions]; zeros for an empty index."""
        total = np.zeros(self.dimensions)
        if not len(self):
            return total.astype(np.float32)  # without rounding errors of sums and differences
        for segment in self._iterate_segments():
            total += segment.sum
        mean: Vectors = (total / max(self.vector_count, 1)).astype(np.float32)
        return mean

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
        faiss.omp_set_num_threads(1)  # a setting of each thread
        if not limit or not self._has_older_segments():
            return self._fresh.search(queries, limit, exclude, allowed)
        hits = self._search_segments(queries, limit, exclude, allowed, exact=exact)
        return [combine_segment_hits(query_hits, limit) for query_hits in zip(*hits, strict=True)]

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
        if not self._has_older_segments():
            faiss.omp_set_num_threads(1)  # a setting of each thread
            return self._fresh.search_by_key(key, limit, exclude, allowed)
        excluded = {key, *exclude}
        nearest = None
        if limit and not exact:
            nearest = self._graphs.search_neighbor_list(key, limit, excluded, allowed)
            if nearest is not None and self._is_one_graph():
                return nearest
        queries = select_queries(self._get_vectors(key))
        if nearest is None:
            hits = self.search(queries, limit, excluded, allowed, exact=exact)
            return hits[0] if len(hits) == 1 else merge_hits(hits)
        faiss.omp_set_num_threads(1)
        skip = self._graphs.get_number(key)
        rest = self._search_segments(queries, limit, excluded, allowed, exact=exact, skip=skip)
        if not rest:
            return nearest
        return combine_segment_hits([nearest, *(hits for (hits,) in rest)], limit)

    def estimate_cost(self, queries: int) -> int:
        """Estimate the multiply-adds of a search with a number of queries."""
        exact_count = self._fresh.vector_count
        frozen = self._frozen  # the worker thread may be putting a build into use
        if frozen is not None:
            exact_count += frozen.vector_count
        graph_cost = GRAPH_BREADTH * GRAPH_CANDIDATE_NS * MULTIPLY_ADDS_PER_NS
        return queries * (exact_count * self.dimensions + len(self._graphs.segments) * graph_cost)

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Replace all vectors of each key; a key occurs once for each of its vectors."""
        if self._has_older_segments():
            self._delete_from_older_segments(set(keys))
        self._fresh.upsert(keys, vectors)

    def delete(self, keys: Collection[int]) -> None:
        """Remove keys; a key that is not in the index is no error."""
        if self._has_older_segments():
            self._delete_from_older_segments(keys)
        self._fresh.delete(keys)

    def start_build(self, *, quiet: bool) -> Build | None:
        """Start to build a graph if one is needed, or else neighbor lists of the largest graph."""
        if self._graph_build is not None or self._list_build is not None:
            return None
        return self._start_graph_build(quiet=quiet) or self._start_list_build()

    def finish_build(self, build: Build) -> None:
        """Replace the segments that a graph was built from, or put neighbor lists into use."""
        if self._list_build is not None and build is self._list_build:
            self._list_build.finish()
            self._list_build = None
        elif self._graph_build is not None and build is self._graph_build:
            replaced, graph = self._graph_build.segments, self._graph_build.segment
            self._graphs.replace(replaced, graph, self._graph_build.changed_keys)
            self._frozen = self._graph_build = None
        else:
            raise AssertionError("the build was not started by this index")

    def cancel_build(self, build: Build) -> None:
        """Forget a build; the vectors that it was to put into a graph are new ones again."""
        if build is self._list_build:
            self._list_build = None
        elif build is self._graph_build and self._frozen is not None:
            keys, vectors = self._frozen.copy_in_key_order()
            self._frozen = self._graph_build = None
            if len(keys):
                self._fresh.upsert(keys.tolist(), vectors)

    def capture(self) -> IndexState:
        """Return new vectors as arrays, and each graph's files and arrays."""
        exact = [segment.capture().arrays for segment in self._list_exact_segments()]
        arrays = {
            name: np.concatenate([segment_arrays[name] for segment_arrays in exact])
            for name in ("keys", "vectors")
        }
        graphs = self._graphs.capture()
        return IndexState({**arrays, **graphs.arrays}, graphs.files)

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Map the graphs into memory and add the new vectors.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays and files do not belong together.
        """
        self._graphs.restore(state, files)
        self.upsert(state.arrays["keys"].tolist(), state.arrays["vectors"])

    def collect_stats(self) -> IndexStats:
        """Return the numbers of vectors by where they are, and the memory they take."""
        graphs = list(self._graphs.segments.values())
        exact_bytes = sum(segment.memory_bytes for segment in self._list_exact_segments())
        return IndexStats(
            vectors=self.vector_count,
            graph_vectors=sum(map(len, graphs)),
            deleted_vectors=sum(graph.deleted for graph in graphs),
            neighbor_lists=sum(graph.listed_count for graph in graphs),
            building=self._graph_build is not None or self._list_build is not None,
            memory_bytes=exact_bytes + sum(graph.memory_bytes for graph in graphs),
        )

    def _start_list_build(self) -> NeighborListBuild | None:
        largest = self._graphs.find_largest()
        if largest is None or largest.neighbor_lists.listed_rows == len(largest.keys):
            return None
        self._list_build = NeighborListBuild(largest.neighbor_lists)
        return self._list_build

    def _start_graph_build(self, *, quiet: bool) -> GraphBuild | None:
        graphs = self._graphs.segments
        share = int(NEXT_GRAPH_SHARE * sum(map(len, graphs.values())))
        chosen = choose_merge(
            {n: SegmentRows(len(graph), graph.deleted) for n, graph in graphs.items()},
            self._fresh.vector_count,
            min(self._next_graph_vectors, max(self._first_graph_vectors, share))
            if graphs
            else self._first_graph_vectors,
            quiet=quiet,
        )
        if chosen is None:
            return None
        self._frozen, self._fresh = self._fresh, ExactIndex(self.dimensions)
        chosen_graphs = {number: graphs[number] for number in chosen}
        ranges = unite_ranges(graph.row_search.vectors for graph in graphs.values())
        self._graph_build = GraphBuild(
            self.dimensions, self._frozen, chosen_graphs, self._storage, ranges
        )
        return self._graph_build

    def _has_older_segments(self) -> bool:
        """Return whether there are segments beside the fresh one."""
        return self._frozen is not None or bool(self._graphs.segments)

    def _is_one_graph(self) -> bool:
        """Return whether all vectors are in one graph."""
        return len(self._graphs.segments) == 1 and not any(self._list_exact_segments())

    def _list_exact_segments(self) -> list[ExactIndex]:
        frozen = self._frozen
        return [self._fresh] if frozen is None else [self._fresh, frozen]

    def _iterate_segments(self) -> Iterator[ExactIndex | GraphSegment]:
        return chain(self._list_exact_segments(), self._graphs.segments.values())

    def _get_vectors(self, key: int) -> Vectors:
        if key in self._graphs:
            return self._graphs.get_vectors(key)
        if self._frozen is not None and key in self._frozen:
            return self._frozen.get([key]).vectors
        return self._fresh.get([key]).vectors

    def _search_segments(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int],
        allowed: Mask | None,
        *,
        exact: bool,
        skip: int = NO_SEGMENT,
    ) -> list[list[Hits]]:
        """Return the hits of each segment for each query, except of the graph number `skip`."""
        hits = [
            segment.search(queries, limit, exclude, allowed)
            for segment in self._list_exact_segments()
            if len(segment) or not self._graphs.segments
        ]
        return hits + self._graphs.search(queries, limit, exclude, allowed, exact=exact, skip=skip)

    def _delete_from_older_segments(self, keys: Collection[int]) -> None:
        if self._frozen is not None:
            self._frozen.delete(keys)
        self._graphs.delete(keys)
        if self._graph_build is not None:
            self._graph_build.changed_keys.update(keys)
