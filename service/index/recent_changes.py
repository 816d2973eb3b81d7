"""What changed last in an item index, for those who keep something computed from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice
from typing import Generic, TypeVar

_T = TypeVar("_T")

# Changes that are kept: a few seconds of writes at full speed.
MAX_RECENT_CHANGES = 10_000


class RecentChanges(Generic[_T]):
    """The latest changes: what was changed in each, as a key or an id. Not thread-safe.

    `version` rises by one for each of them.
    """

    def __init__(self) -> None:
        self.version = 0
        self._changed: deque[_T] = deque(maxlen=MAX_RECENT_CHANGES)

    def note(self, changed: Collection[_T]) -> None:
        """Note changes."""
        self.version += len(changed)
        self._changed.extend(changed)

    def note_unlisted(self) -> None:
        """Note that more has changed than can be listed."""
        self.version += 1
        self._changed.clear()

    def list_since(self, version: int) -> set[_T] | None:
        """Return what has changed since a former `version`; None if that is too much."""
        count = self.version - version
        if count > len(self._changed):
            return None
        return set(islice(reversed(self._changed), count))
