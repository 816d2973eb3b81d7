"""The postings of terms, and how they are stored.

A posting is a version of a key and how often its text has the term, packed into 32 bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# Most terms occur in one text only: then the posting itself stands for the array.
Postings: TypeAlias = "dict[str, array[int] | int]"

# The bits of a posting for the count. Larger counts are stored as the largest that fits.
COUNT_BITS = 4
MAX_COUNT = (1 << COUNT_BITS) - 1


def to_bytes(entry: array[int] | int) -> bytes:
    """Return the postings of a term as uint32 bytes."""
    return entry.to_bytes(4, "little") if isinstance(entry, int) else entry.tobytes()


def count_postings(entry: array[int] | int) -> int:
    """Return the number of postings of a term."""
    return 1 if isinstance(entry, int) else len(entry)


def split_postings(
    terms: Sequence[str], postings: NDArray[np.uint32], counts: NDArray[np.int64]
) -> Postings:
    """Return the postings of each term that has any.

    Raises:
        ValueError: there are more or fewer than the counts say.
    """
    ends = np.cumsum(counts).tolist()
    if len(terms) != len(ends) or len(postings) != (ends[-1] if ends else 0):
        raise ValueError("the postings do not belong to the terms")
    raw = postings.astype("<u4", copy=False).tobytes()
    entries: Postings = {}
    start = 0
    for term, end in zip(terms, ends, strict=True):
        if end - start == 1:
            entries[term] = int.from_bytes(raw[4 * start : 4 * end], "little")
        elif end > start:
            entries[term] = array("I", raw[4 * start : 4 * end])
        start = end
    return entries
