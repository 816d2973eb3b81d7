"""Finds the nearest rows of a graph segment, by the method that the planner chooses.

It knows rows only, not the keys they belong to.
"""

from __future__ import annotations

import faiss
import numpy as np

from service.domain.vectors import Keys, Vectors
from service.index.faiss_pq_codes import AllowedRows, PQCodes
from service.index.faiss_row_vectors import RowVectors
from service.index.planner import (
    MAX_GATHERED_SHARE,
    MAX_SCANNED_ROWS,
    MIN_SHARE_FOR_NEAR_GRAPH_SEARCH,
    NEAR_GRAPH_BREADTH,
    SearchMethod,
    plan_search,
)

# A query is as near to the allowed rows as a graph search needs if those around it are allowed this
# often, relative to all rows.
GRAPH_NEARNESS = 0.9


class RowSearch:
    """Searches among the vectors of one graph.

    Args:
        graph: an HNSW graph.
        vectors: those of its rows.
        pq_codes: the codes of its rows.

    `get_vectors` returns the vectors of rows, float32; they are not always copies.
    """

    def __init__(self, graph: faiss.IndexHNSW, vectors: RowVectors, pq_codes: PQCodes) -> None:
        self.graph = graph
        self.vectors = vectors
        self.pq_codes = pq_codes
        self.get_vectors = vectors.get

    def search(
        self, queries: Vectors, limit: int, allowed: AllowedRows, *, exact: bool
    ) -> tuple[Vectors, Keys]:
        """Return the scores and numbers of the nearest allowed rows, in the cheapest way.

        Args:
            queries: float32 [queries, dimensions].
            limit: the number of rows for each query, at most as many as are allowed.
            allowed: the rows that may be hits.
            exact: compare with every allowed row.

        Returns:
            Two arrays [queries, limit]; a row below 0 is no hit.
        """
        live = len(self.vectors) - allowed.deleted
        plan = plan_search(live, allowed.number, limit, self.graph.d, exact=exact)
        if plan.method is SearchMethod.GRAPH:
            return self.search_graph(queries, limit, allowed, plan.depth)
        if plan.method is SearchMethod.PQ_CODES:
            return self.search_pq_codes(queries, limit, allowed)
        return self.scan(queries, limit, allowed)

    def find_neighbors(
        self, queries: Vectors, number: int, breadth: int, allowed: AllowedRows
    ) -> Keys:
        """Return the allowed rows nearest to each query, [queries, number].

        Args:
            queries: float32 [queries, dimensions].
            number: the number of rows for each query; beyond all rows, they are -1.
            breadth: the number of candidates that a graph search keeps.
            allowed: the rows that may be neighbors.
        """
        allows_all = allowed.number == len(self.vectors)
        if len(self.vectors) <= MAX_SCANNED_ROWS:
            # A matrix product, which takes half the time of a graph search and misses nothing.
            rows, inner_product = allowed.rows, faiss.METRIC_INNER_PRODUCT
            compared = self.get_vectors(slice(None) if allows_all else rows)
            _, places = faiss.knn(queries, compared, number, metric=inner_product)
            nearest: Keys = np.where(places >= 0, rows[places], -1)
            return nearest
        selector = None if allows_all else allowed.selector
        parameters = faiss.SearchParametersHNSW(efSearch=breadth, sel=selector)
        return self._search_graph(queries, number, parameters)[1]

    def search_graph(
        self, queries: Vectors, limit: int, allowed: AllowedRows, breadth: int
    ) -> tuple[Vectors, Keys]:
        """Follow the graph's links; it passes through rows that are not allowed."""
        scores, positions = self._search_links(queries, limit, allowed, breadth)
        if int(positions[:, -1].min()) < 0:
            # The links do not lead to the remaining hits.
            return self.search_pq_codes(queries, limit, allowed)
        return scores, positions

    def _search_links(
        self, queries: Vectors, limit: int, allowed: AllowedRows, breadth: int
    ) -> tuple[Vectors, Keys]:
        rows = len(self.vectors)
        parameters = faiss.SearchParametersHNSW(
            efSearch=int(breadth * self.vectors.breadth_factor) * rows // allowed.number,
            sel=None if allowed.number == rows else allowed.selector,
        )
        return self._search_graph(queries, limit, parameters)

    def _search_graph(
        self, queries: Vectors, limit: int, parameters: faiss.SearchParametersHNSW
    ) -> tuple[Vectors, Keys]:
        candidates = self.vectors.candidates_per_hit * limit
        scores, rows = self.graph.search(queries, candidates, params=parameters)
        return self.vectors.rerank(queries, limit, scores, rows)

    def search_pq_codes(
        self, queries: Vectors, limit: int, allowed: AllowedRows
    ) -> tuple[Vectors, Keys]:
        """Compare in full the rows with the best codes, or search the graph if that is faster."""
        results = [
            self._search_near_lists(query, limit, allowed)
            for query in np.ascontiguousarray(queries)
        ]
        scores, positions = zip(*results, strict=True)
        return np.concatenate(scores), np.concatenate(positions)

    def _search_near_lists(
        self, query: Vectors, limit: int, allowed: AllowedRows
    ) -> tuple[Vectors, Keys]:
        ranked = self.pq_codes.rank_lists(query, allowed)
        is_common = allowed.number >= MIN_SHARE_FOR_NEAR_GRAPH_SEARCH * len(self.vectors)
        if is_common and ranked.nearness >= GRAPH_NEARNESS:
            breadth = max(NEAR_GRAPH_BREADTH, limit)
            found = self._search_links(query[None], limit, allowed, breadth)
            if int(found[1][0, -1]) >= 0:
                return found
        rows = self.pq_codes.find_nearest(query, limit, ranked, allowed)
        if len(rows) < limit:
            # FAISS leaves out the lowest score that codes can have; all of a zero vector's have it.
            return self.scan(query[None], limit, allowed)
        return self.vectors.scan_rows(query[None], limit, rows)

    def scan(self, queries: Vectors, limit: int, allowed: AllowedRows) -> tuple[Vectors, Keys]:
        """Compare with every allowed row."""
        if allowed.number <= MAX_GATHERED_SHARE * len(self.vectors):
            return self.vectors.scan_rows(queries, limit, allowed.rows)
        return self.vectors.scan(queries, limit, allowed.selector)
