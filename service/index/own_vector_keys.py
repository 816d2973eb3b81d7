"""Which items of an index have vectors that their callers gave, which no part of a text has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Mask


class OwnVectorKeys:
    """The keys of items with vectors of their callers. Not thread-safe."""

    def __init__(self) -> None:
        self._is_own = np.zeros(0, np.bool_)
        self._count = 0

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._count

    def update(self, keys: Sequence[int], are_own: Sequence[bool]) -> None:
        """Add the keys whose vectors callers gave, and remove the others; a key occurs once."""
        if not self._count and not any(are_own):
            return
        self._grow(max(keys, default=-1) + 1)
        self._count += sum(are_own) - int(np.count_nonzero(self._is_own[list(keys)]))
        self._is_own[list(keys)] = are_own

    def discard(self, keys: Iterable[int]) -> None:
        """Remove keys; a key that is not among them is no error."""
        own_keys = [key for key in keys if key < len(self._is_own) and self._is_own[key]]
        self._is_own[own_keys] = False
        self._count -= len(own_keys)

    def exclude_from(self, mask: Mask) -> None:
        """Set a mask by key, of any length, to False for these keys."""
        size = min(len(mask), len(self._is_own))
        mask[:size] &= ~self._is_own[:size]

    def capture(self) -> NDArray[Any]:
        """Return the keys as an array, for a snapshot; later writes do not change it."""
        return np.flatnonzero(self._is_own)

    def _grow(self, size: int) -> None:
        if size > len(self._is_own):
            # By half, so that writes of new keys copy each flag a few times at most.
            missing = size + size // 2 - len(self._is_own)
            self._is_own = np.concatenate([self._is_own, np.zeros(missing, np.bool_)])
