"""The keys whose vectors changed last, for those who keep something computed from vectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice

# Keys that are kept: a few seconds of writes at full speed.
MAX_WRITTEN_KEYS = 10_000


class WrittenKeys:
    """The keys whose vectors were written or removed, the latest ones. Not thread-safe.

    `version` rises by one for each of them.
    """

    def __init__(self) -> None:
        self.version = 0
        self._keys: deque[int] = deque(maxlen=MAX_WRITTEN_KEYS)

    def note(self, keys: Collection[int]) -> None:
        """Note that the vectors of these keys were written or removed."""
        self.version += len(keys)
        self._keys.extend(keys)

    def list_since(self, version: int) -> set[int] | None:
        """Return the keys that were noted since a former `version`; None if there are too many."""
        count = self.version - version
        if count > len(self._keys):
            return None
        return set(islice(reversed(self._keys), count))
