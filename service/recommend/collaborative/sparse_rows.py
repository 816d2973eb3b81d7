"""Sparse matrices as rows of (column, weight)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.recommend.collaborative.histories import Floats, Items, Offsets, to_offsets

Numbers = NDArray[np.int64]
Weights = NDArray[np.floating[Any]]  # float32, or float16 as it is stored

# The most rows that `transpose_strongest` packs into one key: 16 bits.
PACKED_ROWS = 1 << 16
ROW_SHIFT, WEIGHT_SHIFT, SIGN_SHIFT = 48, 25, 24
COLUMN_MASK = (1 << SIGN_SHIFT) - 1

# The upper bits of a float32 without its sign: an exponent of 8 bits and 15 bits of the fraction.
DROPPED_BITS = 8
MAX_MAGNITUDE = (1 << 23) - 1


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix by rows.

    Attributes:
        offsets: int64 [rows + 1]: where the entries of each row begin and end.
        columns: int32 [entries].
        weights: float32 or float16 [entries].
    """

    offsets: Offsets
    columns: Items
    weights: Weights

    @property
    def row_count(self) -> int:
        """The number of rows, including empty ones."""
        return len(self.offsets) - 1

    def get_row(self, row: int) -> tuple[Items, Weights]:
        """Return the columns and the weights of one row."""
        entries = slice(self.offsets[row], self.offsets[row + 1])
        return self.columns[entries], self.weights[entries]

    def round_weights(self) -> SparseRows:
        """Return the rows with weights in float16, as they are stored."""
        return SparseRows(self.offsets, self.columns, self.weights.astype(np.float16))

    def find_entries(self, rows: Items | Numbers) -> tuple[Numbers, Numbers]:
        """Return which entries belong to the rows, and how many to each, in the order of rows."""
        starts = self.offsets[rows]
        counts = self.offsets[1:][rows] - starts
        return expand_ranges(starts, counts), counts


def expand_ranges(starts: Numbers, counts: Numbers) -> Numbers:
    """Return the numbers start, start + 1, ... of each range, one range after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers = np.repeat(starts - ends + counts, counts)
    numbers += np.arange(total)
    return numbers


def build_rows(rows: Sequence[tuple[NDArray[np.integer[Any]], Floats]]) -> SparseRows:
    """Return a matrix of these rows, each the columns and their weights."""
    counts = np.fromiter((len(columns) for columns, _ in rows), np.int64, len(rows))
    columns = [np.zeros(0, np.int32), *(columns for columns, _ in rows)]
    weights = [np.zeros(0, np.float32), *(weights for _, weights in rows)]
    return SparseRows(
        to_offsets(counts),
        np.concatenate(columns, dtype=np.int32, casting="same_kind"),
        np.concatenate(weights),
    )


def join_rows(parts: Sequence[SparseRows]) -> SparseRows:
    """Return the rows of all parts, one part after the other."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return SparseRows(
        to_offsets(counts),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def take_rows(rows: SparseRows, numbers: Numbers) -> SparseRows:
    """Return the rows of these numbers, in their order."""
    entries, counts = rows.find_entries(numbers)
    return SparseRows(to_offsets(counts), rows.columns[entries], rows.weights[entries])


def cut_rows(rows: SparseRows, limit: int) -> SparseRows:
    """Return the first entries of each row, at most limit."""
    counts = np.minimum(np.diff(rows.offsets), limit)
    entries = expand_ranges(rows.offsets[:-1], counts)
    return SparseRows(to_offsets(counts), rows.columns[entries], rows.weights[entries])


def replace_rows(rows: SparseRows, numbers: Numbers, replacements: SparseRows) -> SparseRows:
    """Return the matrix with one replacement for each row of these numbers."""
    sources = np.arange(rows.row_count)
    sources[numbers] = rows.row_count + np.arange(len(numbers))
    return take_rows(join_rows([rows, replacements]), sources)


def sum_rows(rows: SparseRows, values: Floats) -> Floats:
    """Return the sum over each row of one value an entry: float32 [rows]."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    totals: Floats = (sums[rows.offsets[1:]] - sums[rows.offsets[:-1]]).astype(np.float32)
    return totals


def transpose_strongest(rows: SparseRows, column_count: int, limit: int) -> SparseRows:
    """Return the transposed matrix, each row cut to its largest weights by absolute value.

    Args:
        rows: any matrix with at most MAX_ITEMS rows; weights keep 16 significant bits.
        column_count: the number of columns, which become rows.
        limit: the most entries of a row. The largest come first.
    """
    sources = np.repeat(np.arange(rows.row_count, dtype=np.uint32), np.diff(rows.offsets))
    parts = [
        _transpose_columns(rows, sources, first, min(first + PACKED_ROWS, column_count), limit)
        for first in range(0, column_count, PACKED_ROWS)
    ]
    return join_rows(parts) if parts else SparseRows(rows.offsets, rows.columns, rows.weights)


def _transpose_columns(
    rows: SparseRows, sources: NDArray[np.uint32], first: int, last: int, limit: int
) -> SparseRows:
    """Return the columns from first to last as rows."""
    entries = np.flatnonzero((rows.columns >= first) & (rows.columns < last))
    keys = (rows.columns[entries] - first).astype(np.uint64) << np.uint64(ROW_SHIFT)
    keys |= _pack_weights(rows.weights[entries].astype(np.float32))
    keys |= sources[entries]
    # One sort of packed keys takes a third of the time of sorting numbers of entries by three keys.
    keys.sort()
    counts = np.bincount((keys >> np.uint64(ROW_SHIFT)).astype(np.int64), minlength=last - first)
    starts = np.cumsum(counts) - counts
    keys = keys[expand_ranges(starts, np.minimum(counts, limit))]
    columns = (keys & np.uint64(COLUMN_MASK)).astype(np.int32)
    return SparseRows(to_offsets(np.minimum(counts, limit)), columns, _unpack_weights(keys))


def _pack_weights(weights: Floats) -> NDArray[np.uint64]:
    """Return bits that sort the largest absolute weight first, with the sign below them."""
    bits = weights.view(np.uint32)
    magnitudes = MAX_MAGNITUDE - ((bits & np.uint32(0x7FFFFFFF)) >> np.uint32(DROPPED_BITS))
    packed = magnitudes.astype(np.uint64) << np.uint64(WEIGHT_SHIFT)
    return packed | (bits >> np.uint32(31)).astype(np.uint64) << np.uint64(SIGN_SHIFT)


def _unpack_weights(keys: NDArray[np.uint64]) -> Floats:
    magnitudes = MAX_MAGNITUDE - ((keys >> np.uint64(WEIGHT_SHIFT)) & np.uint64(MAX_MAGNITUDE))
    bits = magnitudes << np.uint64(DROPPED_BITS)
    bits |= ((keys >> np.uint64(SIGN_SHIFT)) & np.uint64(1)) << np.uint64(31)
    return bits.astype(np.uint32).view(np.float32)
