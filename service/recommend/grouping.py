"""Limits how many candidates have the same value of an attribute."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")

# Candidates that may be selected or joined on the event loop, in 0.3 ms.
MAX_INLINE_GROUPED = 1_000


@dataclass(frozen=True, slots=True)
class FilledGroups:
    """What further candidates are not needed of.

    Attributes:
        item_ids: the candidates so far.
        values: the hashes of values that enough of them have.
    """

    item_ids: Sequence[str]
    values: frozenset[int]


class GroupQuota:
    """Counts the taken candidates by value, and blocks those whose value has no room left.

    Args:
        values: the values of each candidate; one without values is a group of its own.
        max_per_group: how many candidates with the same value may be taken.
    """

    def __init__(self, values: Sequence[AbstractSet[int]], max_per_group: int) -> None:
        self._values = values
        self._max_per_group = max_per_group
        self._counts: Counter[int] = Counter()
        self._positions: defaultdict[int, list[int]] = defaultdict(list)
        for position, own_values in enumerate(values):
            for value in own_values:
                self._positions[value].append(position)

    @property
    def full_values(self) -> frozenset[int]:
        """The values without room."""
        return frozenset(
            value for value, count in self._counts.items() if count == self._max_per_group
        )

    def take(self, position: int) -> list[int]:
        """Count a candidate, and return the positions that it blocks, also of taken ones."""
        blocked: list[int] = []
        for value in self._values[position]:
            self._counts[value] += 1
            if self._counts[value] == self._max_per_group:
                blocked += self._positions[value]
        return blocked


def select_by_group(quota: GroupQuota, count: int, limit: int) -> list[int]:
    """Return the positions of up to `limit` of `count` candidates, best first."""
    positions: list[int] = []
    blocked: set[int] = set()
    for position in range(count):
        if len(positions) == limit:
            break
        if position not in blocked:
            positions.append(position)
            blocked.update(quota.take(position))
    return positions


async def run_for_candidates(count: int, work: Callable[[], _T]) -> _T:
    """Run work that takes time in proportion to candidates, in a thread if there are many."""
    if count <= MAX_INLINE_GROUPED:
        return work()
    return await asyncio.get_running_loop().run_in_executor(None, work)
