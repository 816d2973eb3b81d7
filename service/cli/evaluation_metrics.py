"""Metrics of an evaluation, computed from recommended and held-out items."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Self

# Recommendations for each person; recall, nDCG and hit rate count all of them.
TOP = 20

# Recommendations of each person that count for coverage.
COVERAGE_TOP = 10


@dataclass(frozen=True, slots=True)
class PersonResult:
    """Result for one person: recommended ids, best first, held-out ids, and the call's duration."""

    recommended: Sequence[str]
    held_out: frozenset[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the durations of calls, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def from_seconds(cls, seconds: Sequence[float]) -> Self:
        """Return the percentiles of durations in seconds; there must be at least one."""
        return cls(*(round(1000 * compute_percentile(seconds, percent), 3) for percent in (50, 95)))


@dataclass(frozen=True, slots=True)
class StrategyMetrics:
    """Metrics of one strategy, from 0 to 1: means over the people with held-out items.

    Coverage and latency are of the results for all people.
    """

    strategy: str
    recall_at_20: float
    ndcg_at_20: float
    hit_rate_at_20: float
    coverage_at_10: float
    p50_ms: float
    p95_ms: float

    @classmethod
    def from_results(cls, strategy: str, results: Sequence[PersonResult], items: int) -> Self:
        """Return the metrics of a strategy's results in a catalog of `items` items."""
        judged = [(result.recommended, result.held_out) for result in results if result.held_out]
        latency = Latency.from_seconds([result.seconds for result in results])
        return cls(
            strategy=strategy,
            recall_at_20=fmean(compute_recall(*pair) for pair in judged),
            ndcg_at_20=fmean(compute_ndcg(*pair) for pair in judged),
            hit_rate_at_20=fmean(has_hit(*pair) for pair in judged),
            coverage_at_10=compute_coverage((result.recommended for result in results), items),
            p50_ms=latency.p50,
            p95_ms=latency.p95,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluation, with the field names of `akin evaluate --json`."""

    people: int
    items: int
    strategies: Sequence[StrategyMetrics]
    item_query_ms: Latency
    user_with_50_likes_ms: Latency
    p95_ratio: float


def compute_recall(recommended: Sequence[str], held_out: Collection[str]) -> float:
    """Return the hits among the first TOP, divided by the largest possible number of hits."""
    return _count_hits(recommended, held_out) / min(TOP, len(held_out))


def compute_ndcg(recommended: Sequence[str], held_out: Collection[str]) -> float:
    """Return the discounted gain of the hits among the first TOP, divided by the ideal gain."""
    gain = sum(_gain(rank) for rank, item_id in enumerate(recommended[:TOP]) if item_id in held_out)
    return gain / sum(_gain(rank) for rank in range(min(TOP, len(held_out))))


def has_hit(recommended: Sequence[str], held_out: Collection[str]) -> bool:
    """Is a held-out item among the first TOP?"""
    return _count_hits(recommended, held_out) > 0


def compute_coverage(results: Iterable[Sequence[str]], items: int) -> float:
    """Return the share of all items that are in the first COVERAGE_TOP of any result."""
    return (
        len({item_id for recommended in results for item_id in recommended[:COVERAGE_TOP]}) / items
    )


def compute_percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, interpolated between the two nearest values."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def _count_hits(recommended: Sequence[str], held_out: Collection[str]) -> int:
    return sum(item_id in held_out for item_id in recommended[:TOP])


def _gain(rank: int) -> float:
    return 1 / math.log2(rank + 2)
