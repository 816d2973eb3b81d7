"""Searches over the segments of a large index: exact segments for new vectors, and graphs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import faiss
import numpy as np

from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph_segment import GraphSegment
from service.index.key_locations import NO_SEGMENT, KeyLocations
from service.index.planner import GRAPH_BREADTH, GRAPH_CANDIDATE_NS
from service.index.vector_index import Hits, Keys, Mask, OwnedVectors, Vectors, merge_hits

# Converts the planner's estimates to multiply-adds.
MULTIPLY_ADDS_PER_NS = 10

# The segment numbers of the exact segments; graph segments count from 0.
FRESH_SEGMENT, FROZEN_SEGMENT = -2, -3


class SegmentSearch:
    """The VectorSearch of an index in segments; a subclass writes to the segments.

    The fresh segment takes new vectors. There is a frozen one while a graph is being built over it.
    Both are searched by comparing with every vector.

    Args:
        dimensions: the width of every vector.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._fresh = ExactIndex(dimensions)
        self._frozen: ExactIndex | None = None
        self._graphs: dict[int, GraphSegment] = {}
        self._locations = KeyLocations()

    @property
    def vector_count(self) -> int:
        """The number of vectors."""
        exact_count = sum(segment.vector_count for segment in self._exact_segments())
        return exact_count + sum(map(len, self._graphs.values()))

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._locations)

    def __contains__(self, key: int) -> bool:
        """Return whether the index has a key."""
        return key in self._locations

    def keys(self) -> Keys:
        """Return all keys, each once."""
        return self._locations.keys()

    def get(self, keys: Sequence[int]) -> OwnedVectors:
        """Return a copy of the keys' vectors.

        Raises:
            KeyError: a key is not in the index.
        """
        vectors = [self._get_vectors(key) for key in keys]
        if not vectors:
            return OwnedVectors(np.empty((0, self.dimensions), np.float32), np.empty(0, np.int64))
        owners = np.repeat(np.arange(len(keys)), list(map(len, vectors)))
        return OwnedVectors(np.concatenate(vectors), owners)

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

    def sample(self, rows: int) -> Vectors:
        """Return up to `rows` vectors, evenly spread over the largest segment; no copies."""
        largest = self._find_largest_graph()
        if largest is None:
            return max(self._exact_segments(), key=len).sample(rows)
        step = -(-len(largest.keys) // rows)
        return largest.row_search.get_vectors(slice(None, None, step))

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
        if not limit:
            return [Hits.empty()] * len(queries)
        hits = self._search_segments(queries, limit, exclude, allowed, exact=exact)
        if len(hits) == 1 and not self._graphs:
            return hits[0]
        return [_combine(query_hits, limit) for query_hits in zip(*hits, strict=True)]

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
        excluded = {key, *exclude}
        number = self._locations.get_segment(key)
        graph = self._graphs.get(number)
        listed = None
        if graph is not None and not exact and limit:
            row = self._locations.get_row(key)
            listed = graph.search_neighbor_list(row, limit, excluded, allowed)
        queries = self._get_vectors(key)
        if listed is None:
            hits = self.search(queries, limit, excluded, allowed, exact=exact)
            return hits[0] if len(hits) == 1 else merge_hits(hits)
        rest = self._search_segments(queries, limit, excluded, allowed, skip=number)
        return _combine([listed, *(hits for (hits,) in rest)], limit) if rest else listed

    def estimate_cost(self, queries: int) -> int:
        """Estimate the multiply-adds of a search with so many queries."""
        graph_search = GRAPH_BREADTH * GRAPH_CANDIDATE_NS * MULTIPLY_ADDS_PER_NS
        exact_cost = sum(segment.estimate_cost(queries) for segment in self._exact_segments())
        return queries * len(self._graphs) * graph_search + exact_cost

    def _search_segments(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int],
        allowed: Mask | None,
        *,
        exact: bool = False,
        skip: int = NO_SEGMENT,
    ) -> list[list[Hits]]:
        """Return the hits of each segment for each query, except of the graph `skip`."""
        faiss.omp_set_num_threads(1)  # a setting of each thread
        hits = [
            segment.search(queries, limit, exclude, allowed)
            for segment in self._exact_segments()
            if len(segment) or not self._graphs
        ]
        get_segment = self._locations.get_segment
        for number, graph in self._graphs.items():
            if number != skip:
                excluded = {key for key in exclude if get_segment(key) == number}
                hits.append(graph.search(queries, limit, excluded, allowed, exact=exact))
        return hits

    def _exact_segments(self) -> list[ExactIndex]:
        return [self._fresh] if self._frozen is None else [self._fresh, self._frozen]

    def _iterate_segments(self) -> Iterator[ExactIndex | GraphSegment]:
        return chain(self._exact_segments(), self._graphs.values())

    def _find_largest_graph(self) -> GraphSegment | None:
        return max(self._graphs.values(), key=len, default=None)

    def _get_vectors(self, key: int) -> Vectors:
        number = self._locations.get_segment(key)
        if number in {FRESH_SEGMENT, NO_SEGMENT}:
            return self._fresh.get([key]).vectors
        if number == FROZEN_SEGMENT and self._frozen is not None:
            return self._frozen.get([key]).vectors
        graph = self._graphs[number]
        rows = graph.find_rows(self._locations.get_row(key))
        return graph.row_search.get_vectors(slice(rows.start, rows.stop))


def _combine(hits: Sequence[Hits], limit: int) -> Hits:
    """Return the best hits of several segments with all that tie with the last place."""
    keys = np.concatenate([segment_hits.keys for segment_hits in hits])
    scores = np.concatenate([segment_hits.scores for segment_hits in hits])
    order = np.argsort(-scores, kind="stable")
    keys, scores = keys[order], scores[order]
    if 0 < limit < len(scores):
        reaches_last = scores >= scores[limit - 1]
        keys, scores = keys[reaches_last], scores[reaches_last]
    return Hits(keys, scores)
