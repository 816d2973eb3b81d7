"""The vectors of a graph segment by row: what searches and builds ask of them, and float formats.

A graph searches among its own numbers, whatever their format. Everything else that reads or
compares rows goes through this port.
"""

from __future__ import annotations

from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Matrix, Vectors
from service.index.faiss_scan import scan_rows

# Numbers of rows, as NumPy takes them.
Rows = NDArray[np.integer[Any]] | NDArray[np.bool_] | slice | int


class RowVectors(Protocol):
    """The vectors of rows that are numbered from 0."""

    # Rows that a graph search must return for each hit: those that are nearest by the graph's own
    # numbers include all hits then.
    candidates_per_hit: int

    # How many times as broad as over float32 a graph search must be for the same recall.
    breadth_factor: float

    # The bits of the vectors that are not in the graph, uint8 [rows, bytes]; of floats no bytes.
    low_bits: NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows, and that of dimensions."""

    @property
    def graph_bytes(self) -> int:
        """The memory of the vectors within the graph."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def get(self, rows: Rows) -> Vectors:
        """Return the vectors of rows, float32; not always copies, so do not change them."""

    def equals(self, rows: slice, vectors: Vectors) -> bool:
        """Return whether rows have these vectors, up to the rounding of their numbers.

        Args:
            rows: as many as there are vectors.
            vectors: float32 [vectors, dimensions].
        """

    def rerank(
        self, queries: Vectors, limit: int, scores: Vectors, rows: Keys
    ) -> tuple[Vectors, Keys]:
        """Return the best `limit` of the rows that the graph found for each query, best first.

        Args:
            queries: float32 [queries, dimensions].
            limit: the number of rows to return for each query.
            scores: by the numbers of the graph, float32 [queries, candidates].
            rows: [queries, candidates], at least `limit` of them; those below 0 are none.
        """

    def scan(
        self, queries: Vectors, limit: int, selector: faiss.IDSelector
    ) -> tuple[Vectors, Keys]:
        """Compare each query with all rows that a selector has, and return the best.

        Args:
            queries: float32 [queries, dimensions].
            limit: the number of rows to return for each query, at most as many as there are.
            selector: the rows.

        Returns:
            Two arrays [queries, limit]: scores and rows, best first.
        """

    def scan_rows(self, queries: Vectors, limit: int, rows: Keys) -> tuple[Vectors, Keys]:
        """Compare each query with some rows, and return the best as `scan` does.

        It is faster than a scan with a selector for a tenth of the rows or fewer.
        """


class FloatVectors:
    """Vectors that a FAISS index keeps as float32 or float16, in its own memory.

    Args:
        index: a flat index, one with 16-bit floats, or a graph over such an index.
    """

    candidates_per_hit = 1
    breadth_factor = 1.0

    def __init__(self, index: faiss.Index) -> None:
        self._index = index  # owns the memory
        self._storage = find_storage(index)
        self.matrix = _map_floats(self._storage)
        self.shape: tuple[int, int] = self.matrix.shape
        self.low_bits = np.empty((len(self.matrix), 0), np.uint8)

    @property
    def graph_bytes(self) -> int:
        """The memory of the vectors."""
        return self.matrix.nbytes

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.matrix)

    def get(self, rows: Rows) -> Vectors:
        """Return the vectors of rows, float32; not always copies, so do not change them."""
        vectors: Vectors = self.matrix[rows].astype(np.float32, copy=False)
        return vectors

    def equals(self, rows: slice, vectors: Vectors) -> bool:
        """Return whether rows have these vectors, up to the rounding of their numbers."""
        stored = self.matrix[rows]
        if stored.dtype == np.float32:
            return np.array_equal(stored, vectors)
        # FAISS and NumPy round halves to different sides.
        return bool(np.all(np.abs(stored - vectors) <= np.spacing(np.abs(stored))))

    def rerank(
        self, queries: Vectors, limit: int, scores: Vectors, rows: Keys
    ) -> tuple[Vectors, Keys]:
        """Return the first rows: the graph compares the same numbers."""
        del queries
        return scores[:, :limit], rows[:, :limit]

    def scan(
        self, queries: Vectors, limit: int, selector: faiss.IDSelector
    ) -> tuple[Vectors, Keys]:
        """Compare each query with all rows that a selector has, and return the best."""
        parameters = faiss.SearchParameters(sel=selector)
        scores, rows = self._storage.search(queries, limit, params=parameters)
        return scores, rows

    def scan_rows(self, queries: Vectors, limit: int, rows: Keys) -> tuple[Vectors, Keys]:
        """Compare each query with some rows, and return the best."""
        return scan_rows(self.matrix, queries, limit, rows)


def find_storage(index: faiss.Index) -> faiss.Index:
    """Return the index that keeps the vectors of a graph, or an index itself that is no graph."""
    if isinstance(index, faiss.IndexHNSW):
        return faiss.downcast_index(index.storage)
    return index


def _map_floats(storage: faiss.Index) -> Matrix:
    """Return the memory of an index, float32 or float16 [rows, dimensions]."""
    rows, dimensions = storage.ntotal, storage.d
    if isinstance(storage, faiss.IndexFlat):
        memory = faiss.rev_swig_ptr(storage.get_xb(), rows * dimensions)
    else:
        memory = faiss.rev_swig_ptr(storage.codes.data(), 2 * rows * dimensions).view(np.float16)
    matrix: Matrix = memory.reshape(rows, dimensions)
    return matrix
