"""What recommendations are made from: the vector index, and which key is which item.

The view holds exactly the items that can be recommended now. Whoever reads or changes it holds its
lock for the whole of one consistent piece of work.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from service.index.base import Hits, VectorIndex
from service.storage import Change


class View:
    """The recommendable items of one catalog, as of `sequence`."""

    def __init__(self, index: VectorIndex, clock_us: Callable[[], int]) -> None:
        self.lock = threading.Lock()
        self.sequence = 0
        self.index = index
        self._clock_us = clock_us
        self._keys: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._expiries: dict[int, int] = {}
        self._due: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Takes in changes, oldest first, of distinct items, that lead up to `sequence`."""
        self._remove(change.item_key for change in changes if not change.vectors)
        kept = [change for change in changes if change.vectors]
        if kept:
            vectors = np.frombuffer(b"".join(each for one in kept for each in one.vectors), "<f4")
            self.index.upsert(
                [change.item_key for change in kept for _ in change.vectors],
                vectors.reshape(-1, self.index.dimensions),
            )
        for change in kept:
            self._keys[change.item_id] = change.item_key
            self._ids[change.item_key] = change.item_id
            self._schedule(change.item_key, change.expire_time_us)
        self.sequence = sequence

    def expire(self) -> None:
        """Drops the items whose time has come; call it before reading."""
        if not self._due or self._due[0][0] > self._clock_us():
            return
        now_us = self._clock_us()
        expired = []
        while self._due and self._due[0][0] <= now_us:
            time_us, key = heapq.heappop(self._due)
            if self._expiries.get(key) == time_us:
                expired.append(key)
        self._remove(expired)

    def key(self, item_id: str) -> int | None:
        """The index's key of an item, if the item is here."""
        return self._keys.get(item_id)

    def keys(self, item_ids: Iterable[str]) -> list[int]:
        """The index's keys of those items that are here."""
        return [key for item_id in item_ids if (key := self._keys.get(item_id)) is not None]

    def best(self, hits: Hits, limit: int) -> list[tuple[str, float]]:
        """The ids and scores of the best `limit` hits: highest first, equal ones by id."""
        ids = self._ids
        named = [
            (-score, ids[key])
            for key, score in zip(hits.keys.tolist(), hits.scores.tolist(), strict=True)
        ]
        named.sort()
        return [(item_id, -score) for score, item_id in named[:limit]]

    def _schedule(self, key: int, expire_time_us: int | None) -> None:
        if expire_time_us is None:
            self._expiries.pop(key, None)
        elif self._expiries.get(key) != expire_time_us:
            self._expiries[key] = expire_time_us
            heapq.heappush(self._due, (expire_time_us, key))
            if len(self._due) > 2 * len(self._expiries) + 1_000:
                # Mostly outdated: items that keep moving their time must not fill the memory.
                self._due = [(time_us, key) for key, time_us in self._expiries.items()]
                heapq.heapify(self._due)

    def _remove(self, keys: Iterable[int]) -> None:
        # A time that was moved away and back is due twice.
        known = {key for key in keys if key in self._ids}
        self.index.delete(known)
        for key in known:
            del self._keys[self._ids.pop(key)]
            self._expiries.pop(key, None)
