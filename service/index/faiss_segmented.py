"""An index for catalogs of any size: a small exact segment for new vectors, graphs for the rest.

Writes go to the fresh exact segment. Once it is large it is frozen, and a graph is built in the
background over it and the smaller graphs, and replaces them; until then they are still searched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from service.domain.stats import IndexStats
from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph_build import GraphBuild
from service.index.faiss_graph_segment import SEGMENT_ARRAYS, GraphSegment, is_graph_file
from service.index.faiss_neighbor_lists import NeighborListBuild
from service.index.faiss_segment_search import FRESH_SEGMENT, FROZEN_SEGMENT, SegmentSearch
from service.index.key_locations import NO_SEGMENT
from service.index.merge_policy import SegmentRows, choose_merge
from service.index.vector_index import Build, IndexState, Vectors

# Vectors from which on there are graphs: a graph search then takes half the time of a scan.
FIRST_GRAPH_VECTORS = 20_000

# New vectors, beside graphs, from which on they are built in: scanning them takes 0.2 ms.
NEXT_GRAPH_VECTORS = 8_000


class SegmentedIndex(SegmentSearch):
    """A VectorIndex of an exact segment and graph segments.

    Args:
        dimensions: the width of every vector.
        float16: keep the vectors in graphs as float16, which takes half the memory.
        first_graph_vectors: the number of vectors from which on the first graph is built.
        next_graph_vectors: the number of new vectors from which on the next one is built.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        float16: bool = False,
        first_graph_vectors: int = FIRST_GRAPH_VECTORS,
        next_graph_vectors: int = NEXT_GRAPH_VECTORS,
    ) -> None:
        super().__init__(dimensions)
        self._float16 = float16
        self._first_graph_vectors = first_graph_vectors
        self._next_graph_vectors = next_graph_vectors
        self._next_number = 0
        self._graph_build: GraphBuild | None = None
        self._list_build: NeighborListBuild | None = None

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Replace all vectors of each key; a key occurs once for each of its vectors."""
        distinct = dict.fromkeys(keys)
        in_place = {FRESH_SEGMENT, NO_SEGMENT}
        self.delete([key for key in distinct if self._locations.get_segment(key) not in in_place])
        self._fresh.upsert(keys, vectors)
        for key in distinct:
            self._locations.place(key, FRESH_SEGMENT)
        if self._graph_build is not None:
            self._graph_build.changed_keys.update(distinct)

    def delete(self, keys: Collection[int]) -> None:
        """Remove keys; a key that is not in the index is no error."""
        for key in keys:
            number = self._locations.get_segment(key)
            if number == NO_SEGMENT:
                continue
            if number == FRESH_SEGMENT:
                self._fresh.delete([key])
            elif number == FROZEN_SEGMENT and self._frozen is not None:
                self._frozen.delete([key])
            else:
                self._graphs[number].mark_deleted(self._locations.get_row(key))
            self._locations.remove(key)
            if self._graph_build is not None:
                self._graph_build.changed_keys.add(key)

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
            for number in self._graph_build.segments:
                del self._graphs[number]
            graph, changed_keys = self._graph_build.segment, self._graph_build.changed_keys
            self._frozen = self._graph_build = None
            graph.mark_rows_deleted(self._locations.mask(changed_keys)[graph.keys])
            self._add_graph(graph)
        else:
            raise AssertionError("the build was not started by this index")

    def capture(self) -> IndexState:
        """Return new vectors as arrays, and each graph's files and arrays."""
        exact = [segment.capture().arrays for segment in self._exact_segments()]
        arrays = {
            name: np.concatenate([segment_arrays[name] for segment_arrays in exact])
            for name in ("keys", "vectors")
        }
        files: dict[str, Callable[[Path], None]] = {}
        for graph in self._graphs.values():
            arrays |= {f"{graph.name}/{name}": value for name, value in graph.capture().items()}
            files |= graph.list_files()
        return IndexState(arrays, files)

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Map the graphs into memory and add the new vectors.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays and files do not belong together.
        """
        for name in filter(is_graph_file, files):
            arrays = {array: state.arrays[f"{name}/{array}"] for array in SEGMENT_ARRAYS}
            self._add_graph(GraphSegment.restore(files[name], name, arrays))
        self.upsert(state.arrays["keys"].tolist(), state.arrays["vectors"])

    def collect_stats(self) -> IndexStats:
        """Return the numbers of vectors by where they are, and the memory they take."""
        graphs = self._graphs.values()
        exact_bytes = sum(segment.memory_bytes for segment in self._exact_segments())
        return IndexStats(
            vectors=self.vector_count,
            graph_vectors=sum(map(len, graphs)),
            deleted_vectors=sum(graph.deleted for graph in graphs),
            neighbor_lists=sum(graph.neighbor_lists.listed_rows for graph in graphs),
            building=self._graph_build is not None or self._list_build is not None,
            memory_bytes=exact_bytes + sum(graph.memory_bytes for graph in graphs),
        )

    def _start_list_build(self) -> NeighborListBuild | None:
        largest = self._find_largest_graph()
        if largest is None or largest.neighbor_lists.listed_rows == len(largest.keys):
            return None
        self._list_build = NeighborListBuild(largest.neighbor_lists)
        return self._list_build

    def _start_graph_build(self, *, quiet: bool) -> GraphBuild | None:
        chosen = choose_merge(
            {n: SegmentRows(len(graph), graph.deleted) for n, graph in self._graphs.items()},
            self._fresh.vector_count,
            self._next_graph_vectors if self._graphs else self._first_graph_vectors,
            quiet=quiet,
        )
        if chosen is None:
            return None
        self._frozen, self._fresh = self._fresh, ExactIndex(self.dimensions)
        self._locations.move_all(FRESH_SEGMENT, FROZEN_SEGMENT)
        graphs = {number: self._graphs[number] for number in chosen}
        self._graph_build = GraphBuild(self.dimensions, self._frozen, graphs, float16=self._float16)
        return self._graph_build

    def _add_graph(self, graph: GraphSegment) -> None:
        """Add a graph segment, unless all its rows are deleted, and place its keys in it."""
        firsts = np.flatnonzero(np.diff(graph.keys, prepend=-1))
        firsts = firsts[graph.live[firsts]]
        self._locations.place_rows(graph.keys[firsts], firsts, self._next_number)
        if len(graph):
            self._graphs[self._next_number] = graph
        self._next_number += 1
