"""Examines the items of a sample in small batches, and stops before the deadline of the call.

Recommendations are answered between two batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from service.domain.analyses import Coverage
from service.telemetry.call_context import deadline

# No more items are examined this long before the deadline, so that the reply still arrives.
REPLY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """The items to examine, in random order.

    `item_count` is the number of items that they are drawn from, as of the write `sequence`.
    """

    item_ids: Sequence[str]
    item_count: int
    sequence: int


class Examination:
    """The progress of an analysis through a sample, up to the deadline of its call.

    Args:
        sample: the items to examine.
        clock: the time in seconds, on the same clock as the deadline.
    """

    def __init__(self, sample: Sample, clock: Callable[[], float] = time.monotonic) -> None:
        self.sample = sample
        self._examined_count = 0
        self._clock = clock
        end = deadline.get()
        self._stop_time = None if end is None else end - min(REPLY_SECONDS, (end - clock()) / 2)

    @property
    def is_out_of_time(self) -> bool:
        """True if no more items may be examined."""
        return self._stop_time is not None and self._clock() >= self._stop_time

    def iterate_batches(self, size: int) -> Iterator[Sequence[str]]:
        """Yield the next items; a batch counts as examined when the next one is requested."""
        item_ids = self.sample.item_ids
        while self._examined_count < len(item_ids) and not self.is_out_of_time:
            batch = item_ids[self._examined_count : self._examined_count + size]
            yield batch
            self._examined_count += len(batch)

    @property
    def coverage(self) -> Coverage:
        """How much has been examined so far."""
        item_count = self.sample.item_count
        is_sampled = self._examined_count < item_count
        return Coverage(item_count, self._examined_count, is_sampled, self.sample.sequence)
