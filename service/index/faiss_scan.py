"""Compares queries exactly with some rows of a matrix."""

from __future__ import annotations

import faiss
import numpy as np

from service.domain.vectors import Keys, Matrix, Vectors

# Rows of float16 that are converted to float32 together; it bounds the memory that takes.
CONVERTED_ROWS = 16_384


def scan_rows(matrix: Matrix, queries: Vectors, limit: int, rows: Keys) -> tuple[Vectors, Keys]:
    """Return the scores and numbers of the best of some rows for each query, best first.

    Args:
        matrix: float32 or float16 [all rows, dimensions].
        queries: float32 [queries, dimensions].
        limit: the number of rows to return for each query, at most as many as there are `rows`.
        rows: the numbers of the rows to compare with.
    """
    scores = compare_rows(matrix, queries, rows)
    if limit < len(rows):
        best = np.argpartition(-scores, limit - 1, axis=1)[:, :limit]
    else:
        best = np.broadcast_to(np.arange(len(rows)), scores.shape)
    scores = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    best_rows: Keys = rows[np.take_along_axis(best, order, axis=1)]
    return np.take_along_axis(scores, order, axis=1), best_rows


def compare_rows(matrix: Matrix, queries: Vectors, rows: Keys) -> Vectors:
    """Return the inner products of each query with some rows, float32 [queries, rows].

    The arguments are those of `scan_rows`. Equal rows of float32 have equal scores.
    """
    if matrix.dtype != np.float32:
        products = [
            queries @ matrix[rows[start : start + CONVERTED_ROWS]].astype(np.float32).T
            for start in range(0, len(rows), CONVERTED_ROWS)
        ]
        return np.concatenate(products, axis=1)
    # Rows are read in place: copying them together first takes three times as long.
    scores = np.empty((len(queries), len(rows)), np.float32)
    selected = faiss.swig_ptr(rows), matrix.shape[1], 1, len(rows)
    for query, query_scores in zip(np.ascontiguousarray(queries), scores, strict=True):
        faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(query_scores),
            faiss.swig_ptr(query),
            faiss.swig_ptr(matrix),
            *selected,
        )
    return scores
