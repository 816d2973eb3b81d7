"""Predicts each item from its strongest partners by ridge regression.

One regression over all items (EASE) needs the inverse of a matrix of all items. A regression on the
100 strongest partners finds as much, needs little memory, and can be solved again for one item.
"""

from __future__ import annotations

import numpy as np

from service.recommend.collaborative.cooccurrence import PAIR_LIMIT
from service.recommend.collaborative.histories import Floats, Items
from service.recommend.collaborative.sparse_rows import Numbers, SparseRows, build_rows

# The strongest partners of an item that predict it.
NEIGHBOR_LIMIT = 100

# Added to the diagonal. On the film and music likes, 20 finds less together with text.
RIDGE = np.float32(60.0)

# Marks an item that is no neighbor. Places of neighbors fit into a byte, so that the places of a
# million items fit into the processor's cache.
ABSENT = 255


class RidgeSolver:
    """Solves the regressions of one item after the other.

    Args:
        cooccurrence: one row an item, the strongest partners first.
        totals: float32 [items]: the sum of the weights of each item's likes.
    """

    def __init__(self, cooccurrence: SparseRows, totals: Floats) -> None:
        self._rows = cooccurrence
        self._totals = totals
        self._places = np.full(cooccurrence.row_count, ABSENT, np.uint8)

    def solve(self, items: Numbers) -> SparseRows:
        """Return one row for each of the items: how much each neighbor says for the item."""
        return build_rows([self._solve_item(item) for item in items.tolist()])

    def _solve_item(self, item: int) -> tuple[Items, Floats]:
        partners, weights = self._rows.get_row(item)
        neighbors = partners[:NEIGHBOR_LIMIT]
        if not len(neighbors):
            return neighbors, np.zeros(0, np.float32)
        matrix = self._gather(neighbors)
        solution: Floats = np.linalg.solve(matrix, weights[:NEIGHBOR_LIMIT].astype(np.float32))
        return neighbors, solution

    def _gather(self, neighbors: Items) -> Floats:
        """Return the cooccurrence among the neighbors plus the ridge: float32 [n, n], symmetric.

        A pair is missing if it is among the strongest of neither of its two items. It then counts
        as the weaker of their weakest stored pairs. With 0 instead, the system can have negative
        eigenvalues, and where people like many of a few hundred items alike, recall@20 fell from
        0.194 to 0.123.
        """
        size = len(neighbors)
        entries, counts = self._rows.find_entries(neighbors)
        self._places[neighbors] = np.arange(size, dtype=np.uint8)
        places = self._places[self._rows.columns[entries]]
        self._places[neighbors] = ABSENT
        is_inside = np.flatnonzero(places != ABSENT)
        lines: Numbers = np.repeat(np.arange(size) * size, counts)[is_inside]
        flat = np.zeros(size * size, np.float32)
        flat[lines + places[is_inside]] = self._rows.weights[entries[is_inside]]
        half = flat.reshape(size, size)
        matrix: Floats = np.maximum(half, half.T)
        weakest = self._find_weakest(neighbors, counts)
        if weakest.any():
            bounds = np.minimum(weakest[:, None], weakest)
            np.copyto(matrix, bounds, where=matrix == 0)
        np.fill_diagonal(matrix, self._totals[neighbors] + RIDGE)
        return matrix

    def _find_weakest(self, items: Items, counts: Numbers) -> Floats:
        """Return the weakest stored pair of each item, 0 if all its pairs are stored.

        Args:
            items: the items.
            counts: the number of their stored pairs.
        """
        weakest = np.zeros(len(items), np.float32)
        is_cut = counts >= PAIR_LIMIT
        weakest[is_cut] = self._rows.weights[self._rows.offsets[1:][items[is_cut]] - 1]
        return weakest
