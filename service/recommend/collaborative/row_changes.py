"""Measures how much the rows of a sparse matrix changed."""

from __future__ import annotations

import numpy as np

from service.recommend.collaborative.histories import Floats
from service.recommend.collaborative.sparse_rows import Numbers, SparseRows

# Rows that are compared at once. 65,536 rows of 100 entries take about 500 MB.
ROWS_PER_COMPARISON = 1 << 16

COLUMN_BITS = 24


def measure_changes(former: SparseRows, rows: SparseRows) -> Floats:
    """Return the sum of absolute differences over the larger sum of weights: float32 [rows].

    It is 0 for equal rows and 1 if a row is new or gone. The order within a row does not matter.

    Args:
        former: weights of at least 0, with as many rows as `rows`.
        rows: weights of at least 0.
    """
    changes = [
        _measure(former, rows, first, min(first + ROWS_PER_COMPARISON, rows.row_count))
        for first in range(0, rows.row_count, ROWS_PER_COMPARISON)
    ]
    return np.concatenate([np.zeros(0, np.float32), *changes])


def _measure(former: SparseRows, rows: SparseRows, first: int, last: int) -> Floats:
    """Return the changes of the rows from first to last."""
    keys_before, weights_before = _list_entries(former, first, last)
    keys_after, weights_after = _list_entries(rows, first, last)
    keys = np.concatenate([keys_before, keys_after])
    order = np.argsort(keys)
    keys = keys[order]
    differences = np.concatenate([-weights_before, weights_after])[order]
    # A column of both rows has its two entries side by side, and the first takes the sum.
    is_repeated = keys[1:] == keys[:-1]
    differences[:-1][is_repeated] += differences[1:][is_repeated]
    differences[1:][is_repeated] = 0
    count = last - first
    sums = np.bincount(keys >> COLUMN_BITS, weights=np.abs(differences), minlength=count)
    before = np.bincount(keys_before >> COLUMN_BITS, weights=weights_before, minlength=count)
    after = np.bincount(keys_after >> COLUMN_BITS, weights=weights_after, minlength=count)
    return (sums / np.maximum(np.maximum(before, after), 1e-9)).astype(np.float32)


def _list_entries(rows: SparseRows, first: int, last: int) -> tuple[Numbers, Floats]:
    """Return the place of each entry as one number, and its weight."""
    counts = np.diff(rows.offsets[first : last + 1])
    entries = slice(rows.offsets[first], rows.offsets[last])
    keys: Numbers = np.repeat(np.arange(last - first) << COLUMN_BITS, counts)
    keys += rows.columns[entries]
    return keys, rows.weights[entries].astype(np.float32)
