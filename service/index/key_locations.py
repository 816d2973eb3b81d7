"""Where each key of a segmented index is."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from service.index.vector_index import Keys

# The segment number of a key that is in no segment.
NO_SEGMENT = -1


class KeyLocations:
    """The segment of each key, by number, and the first of its rows there. Not thread-safe.

    Numbers below 0 are for segments without rows.
    """

    def __init__(self) -> None:
        self._segments = array("i")
        self._rows = array("i")
        self._count = 0

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._count

    def __contains__(self, key: int) -> bool:
        """Return whether a key is in a segment."""
        return self.get_segment(key) != NO_SEGMENT

    def keys(self) -> Keys:
        """Return all keys, each once."""
        return np.flatnonzero(np.asarray(self._segments) != NO_SEGMENT)

    def get_segment(self, key: int) -> int:
        """Return the segment of a key, or NO_SEGMENT."""
        return self._segments[key] if key < len(self._segments) else NO_SEGMENT

    def get_row(self, key: int) -> int:
        """Return the first row of a key that was placed with rows."""
        return self._rows[key]

    def place(self, key: int, segment: int) -> None:
        """Place a key in a segment without rows."""
        self._reserve(key + 1)
        self._count += self._segments[key] == NO_SEGMENT
        self._segments[key] = segment

    def place_rows(self, keys: NDArray[np.integer], rows: Keys, segment: int) -> None:
        """Place distinct keys in a segment, with the first row of each."""
        self._reserve(int(keys.max(initial=-1)) + 1)
        segments = np.asarray(self._segments)
        self._count += int(np.count_nonzero(segments[keys] == NO_SEGMENT))
        np.asarray(self._rows)[keys] = rows
        segments[keys] = segment

    def move_all(self, source: int, target: int) -> None:
        """Move all keys of a segment to another one."""
        segments = np.asarray(self._segments)
        segments[segments == source] = target

    def remove(self, key: int) -> None:
        """Remove a key that is in a segment."""
        self._segments[key] = NO_SEGMENT
        self._count -= 1

    def mask(self, keys: set[int]) -> NDArray[np.bool_]:
        """Return a mask by key of those given; it covers every key that was ever placed."""
        mask = np.zeros(len(self._segments), np.bool_)
        mask[list(keys)] = True
        return mask

    def _reserve(self, keys: int) -> None:
        missing = keys - len(self._segments)
        if missing > 0:
            self._segments.extend([NO_SEGMENT] * missing)
            self._rows.extend([0] * missing)
