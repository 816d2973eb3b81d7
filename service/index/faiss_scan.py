"""Comparing queries with some rows of a matrix, exactly."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.vector_index import Keys, Vectors

CONVERTED_AT_ONCE = 16_384
Matrix = NDArray[np.floating[Any]]


def best(matrix: Matrix, queries: Vectors, wanted: int, positions: Keys) -> tuple[Vectors, Keys]:
    """Scores and rows of the best of some rows for each query, best first.

    Args:
        matrix: float32 or float16 [rows, dimensions].
        queries: float32 [q, dimensions].
        wanted: how many, at most as many as there are `positions`.
        positions: the rows to compare with.
    """
    scores = _compared(matrix, queries, positions)
    if wanted < len(positions):
        first = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
    else:
        first = np.broadcast_to(np.arange(len(positions)), scores.shape)
    scores = np.take_along_axis(scores, first, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    rows: Keys = positions[np.take_along_axis(first, order, axis=1)]
    return np.take_along_axis(scores, order, axis=1), rows


def _compared(matrix: Matrix, queries: Vectors, positions: Keys) -> Vectors:
    """The cosines of each query with some rows, float32 [q, rows]."""
    if matrix.dtype != np.float32:
        products = [
            queries @ matrix[positions[start : start + CONVERTED_AT_ONCE]].astype(np.float32).T
            for start in range(0, len(positions), CONVERTED_AT_ONCE)
        ]
        return np.concatenate(products, axis=1)
    # Rows are read where they are: copying them together first takes three times as long.
    scores = np.empty((len(queries), len(positions)), np.float32)
    here = faiss.swig_ptr(positions), matrix.shape[1], 1, len(positions)
    for query, row in zip(np.ascontiguousarray(queries), scores, strict=True):
        faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(row), faiss.swig_ptr(query), faiss.swig_ptr(matrix), *here
        )
    return scores
