"""The graph segments of a large index, and which key is where in them."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Mask, Vectors
from service.index.faiss_graph_segment import SEGMENT_ARRAYS, GraphSegment, is_graph_file
from service.index.vector_index import Hits, IndexState, StateFile

# The segment number of a key that is in no graph.
NO_SEGMENT = -1


class GraphSegments:
    """The graph segments by number, and for each key its segment and its first row there.

    A key is in one segment at most. Not thread-safe.
    """

    def __init__(self) -> None:
        self.segments: dict[int, GraphSegment] = {}
        self._next_number = 0
        self._numbers = array("i")
        self._rows = array("i")
        self._key_count = 0

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._key_count

    def __contains__(self, key: int) -> bool:
        """Return whether a key is in a segment."""
        return self.get_number(key) != NO_SEGMENT

    def keys(self) -> Keys:
        """Return all keys, each once, ascending."""
        return np.flatnonzero(np.asarray(self._numbers) != NO_SEGMENT)

    def get_number(self, key: int) -> int:
        """Return the number of a key's segment, or NO_SEGMENT."""
        return self._numbers[key] if key < len(self._numbers) else NO_SEGMENT

    def get_vectors(self, key: int) -> Vectors:
        """Return a key's vectors, float32 [vectors, dimensions]; do not change them."""
        graph = self.segments[self._numbers[key]]
        rows = graph.find_rows(self._rows[key])
        return graph.row_search.get_vectors(slice(rows.start, rows.stop))

    def has_vectors(self, key: int, vectors: Vectors) -> bool:
        """Return whether a key has these vectors, as precisely as its graph keeps them."""
        graph = self.segments[self._numbers[key]]
        rows = graph.find_rows(self._rows[key])
        if len(rows) != len(vectors):
            return False
        return graph.row_search.vectors.equals(slice(rows.start, rows.stop), vectors)

    def find_largest(self) -> GraphSegment | None:
        """Return the largest segment, None if there is none."""
        return max(self.segments.values(), key=len, default=None)

    def add(self, graph: GraphSegment) -> None:
        """Add a segment, unless all its rows are deleted, and place its keys in it."""
        self._reserve(graph.keys)
        # A key's former rows, which are deleted, can be next to its present ones.
        is_first = np.diff(graph.keys, prepend=-1) != 0
        is_first[1:] |= ~graph.live[:-1]
        firsts = np.flatnonzero(is_first & graph.live)
        keys, numbers = graph.keys[firsts], np.asarray(self._numbers)
        self._key_count += int(np.count_nonzero(numbers[keys] == NO_SEGMENT))
        np.asarray(self._rows)[keys] = firsts
        numbers[keys] = self._next_number
        if len(graph):
            self.segments[self._next_number] = graph
        self._next_number += 1

    def replace(
        self, numbers: Iterable[int], graph: GraphSegment, changed_keys: Collection[int]
    ) -> None:
        """Replace segments with the one built from them, in which changed keys are outdated."""
        for number in numbers:
            del self.segments[number]
        changed = np.zeros(max([*changed_keys, graph.keys.max(initial=-1)]) + 1, np.bool_)
        changed[list(changed_keys)] = True
        graph.mark_keys_deleted(changed)
        self.add(graph)

    def delete(self, keys: Iterable[int]) -> None:
        """Remove keys; a key that is in no segment is no error."""
        for key in keys:
            number = self.get_number(key)
            if number != NO_SEGMENT:
                self.segments[number].mark_deleted(self._rows[key])
                self._numbers[key] = NO_SEGMENT
                self._key_count -= 1

    def capture(self) -> IndexState:
        """Return the arrays and files of all segments; later writes do not change them."""
        arrays: dict[str, NDArray[Any]] = {}
        files: dict[str, StateFile] = {}
        for graph in self.segments.values():
            arrays |= {f"{graph.name}/{name}": value for name, value in graph.capture().items()}
            files |= graph.list_files()
        return IndexState(arrays, files)

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Add the captured segments, whose graphs are mapped into memory.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays and files do not belong together.
        """
        for name in filter(is_graph_file, files):
            arrays = {array: state.arrays[f"{name}/{array}"] for array in SEGMENT_ARRAYS}
            self.add(GraphSegment.restore(files[name], name, arrays))

    def search_neighbor_list(
        self, key: int, limit: int, excluded: Collection[int], allowed: Mask | None
    ) -> Hits | None:
        """Return the nearest keys in a key's own segment from its neighbor list.

        None if the key is in no segment or its list is too short.
        """
        graph = self.segments.get(self.get_number(key))
        if graph is None:
            return None
        return graph.search_neighbor_list(self._rows[key], limit, excluded, allowed)

    def search(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int],
        allowed: Mask | None,
        *,
        exact: bool,
        skip: int,
    ) -> list[list[Hits]]:
        """Return the hits of each segment for each query, except of the segment number `skip`."""
        hits = []
        for number, graph in self.segments.items():
            if number != skip:
                excluded = {key for key in exclude if self.get_number(key) == number}
                hits.append(graph.search(queries, limit, excluded, allowed, exact=exact))
        return hits

    def _reserve(self, keys: NDArray[np.integer]) -> None:
        """Make room for keys."""
        missing = int(keys.max(initial=-1)) + 1 - len(self._numbers)
        if missing > 0:
            self._numbers.extend([NO_SEGMENT] * missing)
            self._rows.extend([0] * missing)
