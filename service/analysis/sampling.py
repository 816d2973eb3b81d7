"""Chooses the items that an analysis examines, and stops it before the deadline of its call.

Items are examined in a random order that is the same each time. However many of them are examined
before the deadline, they are a fair sample. They are examined in small batches, so that
recommendations are answered in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.analyses import Coverage
from service.domain.filters import Filter
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.telemetry.call_context import deadline

# Items in a sample. Finding their neighbors takes 40 microseconds for each with neighbor lists and
# 300 without: 10 to 75 s for this many, about as long as anybody waits for a reply.
MAX_SAMPLE_ITEMS = 250_000

SAMPLE_SEED = 1

# No more items are examined this long before the deadline, so that the reply still arrives.
REPLY_SECONDS = 0.5

# Items whose presence and match with a filter are checked at once, in 3 ms.
MATCHED_ITEMS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Sample:
    """The items to examine, in random order.

    `item_count` is the number of items that they are drawn from, as of the write `sequence`.
    """

    item_ids: Sequence[str]
    item_count: int
    sequence: int


async def draw_sample(follower: Follower, filter_: Filter | None) -> Sample:
    """Draw a random sample of the items that have vectors and match a filter."""

    def draw(item_index: ItemIndex) -> Sample:
        # 30 ms for a million items, 3 ms for a hundred thousand.
        keys = np.random.default_rng(SAMPLE_SEED).permutation(item_index.list_keys(filter_))
        item_ids = item_index.get_ids(keys[:MAX_SAMPLE_ITEMS].tolist())
        return Sample(item_ids, len(keys), item_index.sequence)

    return await follower.read_in_worker(draw)


async def find_matching_ids(
    follower: Follower, item_ids: Sequence[str], filter_: Filter | None
) -> tuple[set[str], int]:
    """Return those items that have vectors and match a filter now, and the sequence of now."""
    matching: set[str] = set()
    sequence = follower.sequence
    for start in range(0, len(item_ids), MATCHED_ITEMS_AT_ONCE):
        batch = item_ids[start : start + MATCHED_ITEMS_AT_ONCE]

        def match(item_index: ItemIndex, batch: Sequence[str] = batch) -> tuple[set[str], int]:
            return set(find_matching_keys(item_index, batch, filter_)), item_index.sequence

        batch_matching, sequence = await follower.read_in_worker(match)
        matching |= batch_matching
    return matching, sequence


def find_matching_keys(
    item_index: ItemIndex, item_ids: Sequence[str], filter_: Filter | None
) -> dict[str, int]:
    """Return the keys, by id, of those items that have vectors and match a filter."""
    keys = {
        item_id: key for item_id in item_ids if (key := item_index.find_key(item_id)) is not None
    }
    if filter_ is None:
        return keys
    allowed = item_index.attributes.compute_mask(filter_)
    return {item_id: key for item_id, key in keys.items() if allowed[key]}


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
