"""The items that an analysis goes over: which ones, in what order, and for how long.

They come in a random order that is the same each time, so that whatever part of it there is time
for is a fair sample; a few at a time, so that recommendations go on meanwhile.
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

MOST = 250_000
"""Of more items a sample of so many is gone over. Finding their neighbors takes 40 microseconds
each with lists, 300 without: 10 to 75 s for so many, about as long as anybody waits for a reply."""

SEED = 1
ANSWER_SECONDS = 0.5
"""So long before the deadline no more items are looked at: that the answer still arrives."""

PRESENT_AT_ONCE = 5_000
"""Of so many items it is told within 3 ms whether they are there and pass."""


@dataclass(frozen=True, slots=True)
class Population:
    """The items to go over, in random order; `item_count` is how many there are in all."""

    item_ids: Sequence[str]
    item_count: int
    sequence: int


async def population(follower: Follower, wanted: Filter | None, most: int = MOST) -> Population:
    """A random sample of at most `most` of the items that can be recommended and pass."""

    def drawn(item_index: ItemIndex) -> Population:
        # 30 ms for a million items, 3 ms for a hundred thousand.
        keys = np.random.default_rng(SEED).permutation(item_index.list_keys(wanted))
        return Population(item_index.get_ids(keys[:most].tolist()), len(keys), item_index.sequence)

    return await follower.read_in_worker(drawn)


async def present(
    follower: Follower, item_ids: Sequence[str], wanted: Filter | None
) -> tuple[set[str], int]:
    """Those items that can be recommended and pass now, and the last write that this reflects."""
    found: set[str] = set()
    sequence = follower.sequence
    for start in range(0, len(item_ids), PRESENT_AT_ONCE):
        some = item_ids[start : start + PRESENT_AT_ONCE]

        def work(item_index: ItemIndex, some: Sequence[str] = some) -> tuple[set[str], int]:
            return set(passing(item_index, some, wanted)), item_index.sequence

        here, sequence = await follower.read_in_worker(work)
        found |= here
    return found, sequence


def passing(
    item_index: ItemIndex, item_ids: Sequence[str], wanted: Filter | None
) -> dict[str, int]:
    """The keys of those items that can be recommended and pass, by id."""
    keys = {
        item_id: key for item_id in item_ids if (key := item_index.find_key(item_id)) is not None
    }
    if wanted is None:
        return keys
    allowed = item_index.attributes.compute_mask(wanted)
    return {item_id: key for item_id, key in keys.items() if allowed[key]}


class Sample:
    """Goes over a population until it ends or the call's deadline is near.

    Args:
        people: the items.
        now: the clock that the deadline is on, in seconds.
    """

    def __init__(self, people: Population, now: Callable[[], float] = time.monotonic) -> None:
        self.population = people
        self.examined = 0
        self._now = now
        end = deadline.get()
        self._until = None if end is None else end - min(ANSWER_SECONDS, (end - now()) / 2)

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return self._until is not None and self._now() >= self._until

    def some(self, size: int) -> Iterator[Sequence[str]]:
        """The next items, `size` at a time; they count as examined once the next are asked for."""
        ids = self.population.item_ids
        while self.examined < len(ids) and not self.over:
            chosen = ids[self.examined : self.examined + size]
            yield chosen
            self.examined += len(chosen)

    @property
    def coverage(self) -> Coverage:
        """What was gone over so far."""
        people = self.population
        sampled = self.examined < people.item_count
        return Coverage(people.item_count, self.examined, sampled, people.sequence)
