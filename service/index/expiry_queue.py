"""When the items of an index expire."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

# Outdated entries of the queue that are tolerated, beside as many as there are valid ones.
MAX_OUTDATED_EXPIRIES = 1_000


class ExpiryQueue:
    """The expire times of items, by key. Times are in microseconds since 1970."""

    def __init__(self) -> None:
        self._times_us: dict[int, int] = {}
        self._queue: list[tuple[int, int]] = []

    @property
    def times_us(self) -> Mapping[int, int]:
        """The expire times of the items that have one, by key."""
        return self._times_us

    @property
    def is_empty(self) -> bool:
        """Whether the queue has no entry, not even an outdated one."""
        return not self._queue

    def schedule(self, key: int, expire_time_us: int | None) -> None:
        """Set the expire time of an item; None if it never expires."""
        times_us = self._times_us
        if expire_time_us is None:
            times_us.pop(key, None)
        elif times_us.get(key) != expire_time_us:
            times_us[key] = expire_time_us
            heapq.heappush(self._queue, (expire_time_us, key))
            if len(self._queue) > 2 * len(times_us) + MAX_OUTDATED_EXPIRIES:
                # Items whose time is moved often must not fill the memory.
                self._queue = [(time_us, key) for key, time_us in times_us.items()]
                heapq.heapify(self._queue)

    def discard(self, key: int) -> None:
        """Forget the expire time of an item, if it has one."""
        self._times_us.pop(key, None)

    def pop_expired(self, now_us: int) -> list[int]:
        """Remove the expired items from the queue.

        Returns:
            Their keys. A key whose time was moved away and back is there twice.
        """
        expired_keys = []
        while self._queue and self._queue[0][0] <= now_us:
            time_us, key = heapq.heappop(self._queue)
            if self._times_us.get(key) == time_us:
                expired_keys.append(key)
        return expired_keys
