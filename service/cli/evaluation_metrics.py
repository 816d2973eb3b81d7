"""Metrics of an evaluation, computed from recommended and held-out items."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

# Recommendations for each person; recall, nDCG and hit rate count all of them.
TOP = 20

# Recommendations of each person that count for coverage, novelty and the share of popular items.
COVERAGE_TOP = 10

# The most liked items that together have this share of all likes are popular.
POPULAR_LIKES_SHARE = 0.2

# Resamples of a bootstrap interval, and those that are drawn at once to bound the memory. With
# 2,000, the ends of the interval vary by about a fiftieth of its width from seed to seed.
BOOTSTRAP_RESAMPLES = 2_000
_RESAMPLES_AT_ONCE = 100

# Percentiles of the means of the resamples: a 95% interval.
_INTERVAL_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% confidence interval."""

    low: float
    high: float


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


def compute_novelty(
    results: Iterable[Sequence[str]], like_counts: Mapping[str, int], people: int
) -> float:
    """Return the mean self-information of the first COVERAGE_TOP of all results, in bits.

    It is 0 if everybody likes every recommended item, and grows by 1 if half as many people do. One
    more person, who likes everything, is added, so that items without likes count too.

    Args:
        results: the recommended ids of each person; the mean of none is 0.
        like_counts: the number of people who are known to like each item.
        people: the number of people.
    """
    return _compute_mean(
        math.log2((people + 1) / (like_counts.get(item_id, 0) + 1))
        for recommended in results
        for item_id in recommended[:COVERAGE_TOP]
    )


def list_popular_items(like_counts: Mapping[str, int]) -> frozenset[str]:
    """Return the fewest items that together have POPULAR_LIKES_SHARE of all likes."""
    rest = POPULAR_LIKES_SHARE * sum(like_counts.values())
    popular: set[str] = set()
    for item_id in sorted(like_counts, key=lambda item_id: (-like_counts[item_id], item_id)):
        if rest <= 0:
            break
        popular.add(item_id)
        rest -= like_counts[item_id]
    return frozenset(popular)


def compute_popular_share(results: Iterable[Sequence[str]], popular: Collection[str]) -> float:
    """Return the share of popular items in the first COVERAGE_TOP of all results, 0 of none."""
    return _compute_mean(
        item_id in popular for recommended in results for item_id in recommended[:COVERAGE_TOP]
    )


def compute_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Return the bootstrap interval of the mean of values, one for each person.

    For the interval of a gain, pass the differences between two results for the same people.

    Args:
        values: the values, at least one.
        seed: determines the resamples.
    """
    rng = np.random.default_rng(seed)
    array = np.asarray(values, np.float64)
    means = np.concatenate(
        [
            array[rng.integers(len(array), size=(_RESAMPLES_AT_ONCE, len(array)))].mean(axis=1)
            for _ in range(BOOTSTRAP_RESAMPLES // _RESAMPLES_AT_ONCE)
        ]
    )
    low, high = np.percentile(means, _INTERVAL_PERCENTILES)
    return Interval(float(low), float(high))


def compute_percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, interpolated between the two nearest values."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def _count_hits(recommended: Sequence[str], held_out: Collection[str]) -> int:
    return sum(item_id in held_out for item_id in recommended[:TOP])


def _compute_mean(values: Iterable[float]) -> float:
    present = list(values)
    return fmean(present) if present else 0.0


def _gain(rank: int) -> float:
    return 1 / math.log2(rank + 2)
