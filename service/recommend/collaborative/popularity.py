"""How popular items are, for any half-life of interactions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.recommend.collaborative.histories import Floats, Items
from service.recommend.collaborative.sparse_rows import Numbers

# Interactions of an item are summed up by age, in classes that each reach twice as far as the one
# before. The first reaches to MIN_AGE_DAYS, the last has no end.
MIN_AGE_DAYS = 1 / 24
AGE_CLASSES = 20

# Half-lives whose ranking is kept.
MAX_CACHED_RANKINGS = 8


class Popularity:
    """Ranks the items of a model by the sum of their interactions, of which older ones count less.

    All sums fade alike with time, so that a ranking stays until the next training.

    Args:
        arrays: as `sum_up_interactions` returns them.

    Raises:
        KeyError: an array is missing.
        ValueError: the arrays do not belong together.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._items = arrays["popular_items"]
        self._sums = arrays["popular_sums"]
        self._ages = arrays["popular_ages_days"]
        if len({len(self._items), len(self._sums), len(self._ages)}) > 1:
            raise ValueError("there must be a sum and an age for each item")
        self._rank = lru_cache(MAX_CACHED_RANKINGS)(self._compute)

    def rank(self, half_life_days: float) -> tuple[Items, Floats]:
        """Return the items with interactions, the most popular first, and their popularity.

        It is the sum of the weights of an item's interactions, which each count half after the
        half-life, relative to that of the most popular item: int32 [items] and float32 [items],
        from 1 downwards.
        """
        return self._rank(half_life_days)

    def _compute(self, half_life_days: float) -> tuple[Items, Floats]:
        if not len(self._items):
            return self._items, self._sums
        # As logarithms, because interactions of long ago count less than any number can tell.
        halvings = self._ages.astype(np.float64) / half_life_days
        logs = np.log2(self._sums, dtype=np.float64) - halvings
        starts = np.flatnonzero(np.diff(self._items, prepend=-1))
        popularities = np.logaddexp2.reduceat(logs, starts)
        order = np.argsort(-popularities, kind="stable")
        scores = np.exp2(popularities[order] - popularities.max())
        return self._items[starts][order], scores.astype(np.float32)


def sum_up_interactions(
    people: Numbers, items: Items, weights: Floats, ages_days: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Return the sums of the weights above 0 and the mean ages, by item and age class.

    Of several events of a person with one item, the one with the largest weight counts, and of
    equal ones the latest, so that nobody makes an item popular alone.

    Args:
        people: int64 [events], from 0.
        items: int32 [events].
        weights: float32 [events].
        ages_days: float64 [events]: the age of each event at the time of the training, in days.
    """
    counted = _pick_strongest(people, items, weights, ages_days)
    items, weights = items[counted], weights[counted]
    ages = np.maximum(ages_days[counted], 0.0)
    classes = np.ceil(np.log2(np.maximum(ages / MIN_AGE_DAYS, 1.0))).astype(np.int64)
    cells: Numbers = items.astype(np.int64) * AGE_CLASSES + np.minimum(classes, AGE_CLASSES - 1)
    distinct, places = np.unique(cells, return_inverse=True)
    sums = np.bincount(places, weights=weights, minlength=len(distinct))
    age_sums = np.bincount(places, weights=weights * ages, minlength=len(distinct))
    return {
        "popular_items": (distinct // AGE_CLASSES).astype(np.int32),
        "popular_sums": sums.astype(np.float32),
        "popular_ages_days": (age_sums / sums).astype(np.float32),
    }


def _pick_strongest(
    people: Numbers, items: Items, weights: Floats, ages_days: NDArray[np.float64]
) -> Numbers:
    """Return the events that count: one for each person and item, with a weight above 0."""
    pairs = people * (int(items.max(initial=0)) + 1) + items
    order = np.lexsort((-ages_days, weights, pairs))
    is_last = np.diff(pairs[order], append=-1) != 0
    strongest: Numbers = order[is_last]
    return strongest[weights[strongest] > 0]
