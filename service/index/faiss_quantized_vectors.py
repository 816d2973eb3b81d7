"""The vectors of a graph segment as 8-bit codes, which the graph has, and two further bits.

A comparison with many rows uses the codes first. Rows that can be among the best are then compared
by all bits, so that the result is that of comparing all bits of all rows.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Vectors
from service.index.component_ranges import LEVELS_PER_CODE, MAX_ERROR, ComponentRanges
from service.index.faiss_row_vectors import Rows, find_storage
from service.index.faiss_scan import CONVERTED_ROWS, compare_rows
from service.index.low_bits import LowBits, unpack_low_bits

# Rows for each result, the best by their codes, that are compared by all bits at first.
REFINED_PER_HIT = 4

# The most by which the value of a code differs from that of all bits, in codes, with a percent
# more for rounding errors.
MAX_CODE_ERROR = 1.01 * (LEVELS_PER_CODE - 1) / (2 * LEVELS_PER_CODE)

# Rounding errors of a score, for each unit of what is added up.
SCORE_ROUNDING = 1e-6


class QuantizedVectors:
    """Vectors of 10 bits a component.

    Args:
        graph: a graph over 8-bit codes.
        low_bits: the other bits of its rows, packed.

    `ranges` are those of the components.
    """

    # The best by 10 bits are among twice as many by 8 bits.
    candidates_per_hit = 2

    # Of 100,000 package descriptions the recall@10 of a graph search is 0.980 at the same breadth,
    # and 0.983 at this one, as with float32.
    breadth_factor = 1.5

    def __init__(self, graph: faiss.IndexHNSW, low_bits: LowBits) -> None:
        self._graph = graph  # owns the memory of the codes
        self._storage = find_storage(graph)
        self.low_bits = low_bits
        self.shape: tuple[int, int] = (graph.ntotal, graph.d)
        self.ranges = read_ranges(graph)
        memory = faiss.rev_swig_ptr(self._storage.codes.data(), graph.ntotal * graph.d)
        self._codes: NDArray[np.uint8] = memory.reshape(self.shape)
        self._middle = self.ranges.lowest + self.ranges.steps / 2
        self._errors = MAX_CODE_ERROR * self.ranges.steps
        self._errors += SCORE_ROUNDING * np.abs(self._middle)

    @property
    def graph_bytes(self) -> int:
        """The memory of the codes."""
        return self._codes.nbytes

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def get(self, rows: Rows) -> Vectors:
        """Return a copy of the vectors of rows, float32."""
        numbers = self._codes[rows].astype(np.uint16)
        numbers *= LEVELS_PER_CODE
        numbers += unpack_low_bits(self.low_bits[rows], self.shape[1])
        return self.ranges.decode(numbers)

    def equals(self, rows: slice, vectors: Vectors) -> bool:
        """Return whether rows have these vectors, up to the rounding of their numbers.

        They were rounded once, and once more whenever ranges became wider. After several such
        times, rows can be taken for others.
        """
        tolerance = 2 * MAX_ERROR * self.ranges.levels
        return bool(np.all(np.abs(self.get(rows) - vectors) <= tolerance))

    def rerank(
        self, queries: Vectors, limit: int, scores: Vectors, rows: Keys
    ) -> tuple[Vectors, Keys]:
        """Return the best `limit` rows for each query by all bits, -1 where there are fewer."""
        del scores
        best_scores = np.full((len(queries), limit), -np.inf, np.float32)
        best_rows = np.full((len(queries), limit), -1, np.int64)
        for number, (query, candidates) in enumerate(zip(queries, rows, strict=True)):
            ranked = self._rank(query, limit, candidates[candidates >= 0])
            best_scores[number, : len(ranked[0])], best_rows[number, : len(ranked[1])] = ranked
        return best_scores, best_rows

    def scan(
        self, queries: Vectors, limit: int, selector: faiss.IDSelector
    ) -> tuple[Vectors, Keys]:
        """Compare each query with all rows that a selector has, and return the best."""
        parameters = faiss.SearchParameters(sel=selector)
        return _stack([self._scan(query, limit, parameters) for query in queries])

    def scan_rows(self, queries: Vectors, limit: int, rows: Keys) -> tuple[Vectors, Keys]:
        """Compare each query with some rows, and return the best."""
        if len(rows) <= REFINED_PER_HIT * limit:
            return _stack([self._rank(query, limit, rows) for query in queries])
        code_scores = self._compare_codes(queries, rows)
        pairs = zip(queries, code_scores, strict=True)
        return _stack([self._rank_by_codes(query, limit, rows, scores) for query, scores in pairs])

    def _scan(
        self, query: Vectors, limit: int, parameters: faiss.SearchParameters
    ) -> tuple[Vectors, Keys]:
        """Return the best rows for one query [dimensions]."""
        fetch = REFINED_PER_HIT * limit
        while True:
            found = self._storage.search(query[None], min(fetch, len(self)), params=parameters)
            code_scores, rows = found[0][0], found[1][0]
            rows = rows[rows >= 0]
            scores, best = self._rank(query, limit, rows)
            is_complete = len(rows) < fetch or code_scores[-1] < self._bound(query, scores)
            if is_complete:
                return scores, best
            fetch *= REFINED_PER_HIT

    def _rank_by_codes(
        self, query: Vectors, limit: int, rows: Keys, code_scores: Vectors
    ) -> tuple[Vectors, Keys]:
        """Return the best of some rows for one query, given the scores of all by their codes."""
        number = REFINED_PER_HIT * limit
        first = np.argpartition(-code_scores, number)[:number]
        scores, best = self._rank(query, limit, rows[first])
        candidates = rows[code_scores >= self._bound(query, scores)]
        return (scores, best) if len(candidates) <= number else self._rank(query, limit, candidates)

    def _bound(self, query: Vectors, scores: Vectors) -> np.float32:
        """Return the score by codes below which no row is better than the last of `scores`."""
        bound: np.float32 = scores[-1] - np.abs(query) @ self._errors
        return bound

    def _rank(self, query: Vectors, limit: int, rows: Keys) -> tuple[Vectors, Keys]:
        """Return the scores of the best of some rows by all bits, and these rows, best first."""
        scores = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), CONVERTED_ROWS):
            block = self.get(rows[start : start + CONVERTED_ROWS])
            end, places = start + len(block), np.arange(len(block))
            scores[start:end] = compare_rows(block, query[None], places)[0]
        order = np.argsort(-scores, kind="stable")[:limit]
        return scores[order], rows[order]

    def _compare_codes(self, queries: Vectors, rows: Keys) -> Vectors:
        """Return the inner products of queries with the codes of rows, float32 [queries, rows]."""
        weights = queries * self.ranges.steps
        products = [
            weights @ self._codes[rows[start : start + CONVERTED_ROWS]].astype(np.float32).T
            for start in range(0, len(rows), CONVERTED_ROWS)
        ]
        scores: Vectors = np.concatenate(products, axis=1)
        scores += (queries @ self._middle)[:, None]
        return scores


def read_ranges(graph: faiss.IndexHNSW) -> ComponentRanges:
    """Return the ranges of the components of a graph over 8-bit codes."""
    trained = faiss.vector_to_array(find_storage(graph).sq.trained)
    return ComponentRanges(trained[: graph.d], trained[graph.d :])


def _stack(results: list[tuple[Vectors, Keys]]) -> tuple[Vectors, Keys]:
    """Return the results of several queries as two arrays [queries, limit]."""
    scores, rows = zip(*results, strict=True)
    return np.stack(scores), np.stack(rows)
