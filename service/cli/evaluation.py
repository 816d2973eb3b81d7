"""What an evaluation measures, as pure functions of what was recommended and held out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Self, TypeVar

T = TypeVar("T")

LIMIT = 20
"""How many recommendations each person gets."""

TOP = 10
"""Of these so many count for the coverage."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person was recommended, best first, what was held out, and how long it took."""

    recommended: Sequence[str]
    held_out: frozenset[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds that half of the calls, and 95 in 100 of them, keep."""

    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """The times of calls that took so many seconds each."""
        return cls(*(round(1000 * percentile(seconds, percent), 3) for percent in (50, 95)))


@dataclass(frozen=True, slots=True)
class StrategyFigures:
    """One strategy's figures: means over the people who have held-out items, from 0 to 1.

    Coverage is over the answers to everybody.
    """

    strategy: str
    recall_at_20: float
    ndcg_at_20: float
    hit_rate_at_20: float
    coverage_at_10: float
    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, strategy: str, answers: Sequence[Answer], items: int) -> Self:
        """The figures of a strategy's answers over a catalog of so many items."""
        judged = [(each.recommended, each.held_out) for each in answers if each.held_out]
        times = Times.of([each.seconds for each in answers])
        return cls(
            strategy=strategy,
            recall_at_20=fmean(recall(*each) for each in judged),
            ndcg_at_20=fmean(ndcg(*each) for each in judged),
            hit_rate_at_20=fmean(hit(*each) for each in judged),
            coverage_at_10=coverage((each.recommended for each in answers), items),
            p50_ms=times.p50,
            p95_ms=times.p95,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out, as it is told with --json."""

    people: int
    items: int
    strategies: Sequence[StrategyFigures]
    item_query_ms: Times
    user_with_50_likes_ms: Times
    p95_ratio: float


def recall(recommended: Sequence[str], held_out: Collection[str]) -> float:
    """Hits among the first LIMIT, as a share of the most that were possible."""
    return _hits(recommended, held_out) / min(LIMIT, len(held_out))


def ndcg(recommended: Sequence[str], held_out: Collection[str]) -> float:
    """Discounted gain of the hits among the first LIMIT, as a share of the ideal order's."""
    gain = sum(_gain(place) for place, each in enumerate(recommended[:LIMIT]) if each in held_out)
    return gain / sum(_gain(place) for place in range(min(LIMIT, len(held_out))))


def hit(recommended: Sequence[str], held_out: Collection[str]) -> float:
    """1 if there is a hit among the first LIMIT, else 0."""
    return float(_hits(recommended, held_out) > 0)


def coverage(answers: Iterable[Sequence[str]], items: int) -> float:
    """Distinct items in the first TOP of any answer, as a share of all items."""
    return len({each for recommended in answers for each in recommended[:TOP]}) / items


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many in 100 keep, between two neighbors in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: Sequence[T], number: int) -> list[T]:
    """So many of them at even distances; all if there are fewer."""
    number = min(number, len(values))
    return [values[place * len(values) // number] for place in range(number)]


def _hits(recommended: Sequence[str], held_out: Collection[str]) -> int:
    return sum(each in held_out for each in recommended[:LIMIT])


def _gain(place: int) -> float:
    return 1 / math.log2(place + 2)
