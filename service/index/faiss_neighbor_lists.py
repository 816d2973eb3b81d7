"""Neighbor lists: for each row of a graph segment the rows nearest to it, found in advance."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Mask
from service.index.faiss_pq_codes import AllowedRows
from service.index.faiss_row_search import RowSearch
from service.index.threads import BUILD_THREADS

# Neighbors in the list of each row: 128 bytes a row.
LIST_LENGTH = 32

# Candidates that the graph search for a list keeps (efSearch). With a million package descriptions,
# a list has 0.994 of the ten nearest, and 0.995 with 320, which take twice as long.
LIST_BREADTH = 160

# Rows whose lists one build computes: 0.2 s.
LISTED_ROWS_PER_BUILD = 1_024


class NeighborLists:
    """The neighbor lists of the first `listed_rows` rows of a graph segment.

    Args:
        row_search: the rows.
        live: which of them are not deleted, as of now; deleted ones are in no list that is computed
            afterwards, and have no neighbors.
    """

    def __init__(self, row_search: RowSearch, live: Mask) -> None:
        self.listed_rows = 0
        self._row_search = row_search
        self._live = live
        self._neighbors = np.empty((len(row_search.vectors), LIST_LENGTH), np.int32)

    @property
    def memory_bytes(self) -> int:
        """The memory of all lists, including those that are still to be computed."""
        return self._neighbors.nbytes

    def get(self, row: int) -> NDArray[np.int32] | None:
        """Return the rows nearest to a row, nearest first, -1 for none; None without a list."""
        return self._neighbors[row] if row < self.listed_rows else None

    def capture(self) -> NDArray[np.int32]:
        """Return all lists, int32 [listed_rows, LIST_LENGTH]; they never change."""
        return self._neighbors[: self.listed_rows]

    def restore(self, lists: NDArray[np.int32]) -> None:
        """Take over captured lists."""
        self._neighbors[: len(lists)] = lists
        self.listed_rows = len(lists)

    def count_next(self, rows: int) -> int:
        """Return how many of the next `rows` rows there are."""
        return min(rows, len(self._neighbors) - self.listed_rows)

    def compute(self, rows: int) -> int:
        """Compute the lists of `rows` more rows; return the new value for `listed_rows`.

        There are as many more. It may run in another thread: it touches no list that is in use.
        """
        faiss.omp_set_num_threads(BUILD_THREADS)  # a setting of each thread
        start, live = self.listed_rows, self._live.copy()
        end = start + rows
        listed = start + np.flatnonzero(live[start:end])
        self._neighbors[start:end] = -1
        if len(listed):
            queries = self._row_search.get_vectors(listed)
            allowed = AllowedRows(live, 0, self._row_search.pq_codes)
            nearest = self._row_search.find_neighbors(
                queries, LIST_LENGTH + 1, LIST_BREADTH, allowed
            )
            # A row is first in its own results unless it has copies; then the last one is dropped.
            is_itself = nearest == listed[:, None]
            is_itself[~is_itself.any(axis=1), -1] = True
            self._neighbors[listed] = nearest[~is_itself].reshape(len(listed), LIST_LENGTH)
        return end


class NeighborListBuild:
    """Computes the neighbor lists of the next `rows` rows of one graph segment."""

    def __init__(self, lists: NeighborLists) -> None:
        self._lists = lists
        self._listed_rows = lists.listed_rows
        self.rows = lists.count_next(LISTED_ROWS_PER_BUILD)

    def run(self) -> None:
        """Compute the lists; takes 0.2 s."""
        self._listed_rows = self._lists.compute(self.rows)

    def stop(self) -> None:
        """Do nothing: `run` is short."""

    def finish(self) -> None:
        """Put the computed lists into use."""
        self._lists.listed_rows = self._listed_rows
