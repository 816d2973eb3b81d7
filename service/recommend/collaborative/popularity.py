"""How popular items are, for any half-life of interactions."""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._items = arrays["popular_items"]
        self._sums = arrays["popular_sums"]
        self._ages = arrays["popular_ages_days"]
        self._rankings: dict[float, tuple[Items, Floats]] = {}

    def rank(self, half_life_days: float) -> tuple[Items, Floats]:
        """Return the items with interactions, the most popular first, and their popularity.

        It is the sum of the weights of an item's interactions, which each count half after the
        half-life, at the time of the training: int32 [items] and float32 [items].
        """
        ranking = self._rankings.get(half_life_days)
        if ranking is None:
            ranking = self._compute(half_life_days)
            if len(self._rankings) >= MAX_CACHED_RANKINGS:
                self._rankings.pop(next(iter(self._rankings)))
            self._rankings[half_life_days] = ranking
        return ranking

    def _compute(self, half_life_days: float) -> tuple[Items, Floats]:
        values = self._sums * np.exp2(-self._ages / half_life_days)
        totals = np.bincount(self._items, weights=values)
        numbers = np.unique(self._items)
        scores = totals[numbers].astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        return numbers[order], scores[order]


def sum_up_interactions(
    items: Items, weights: Floats, ages_days: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Return the sums of the weights above 0 and the mean ages, by item and age class.

    Args:
        items: int32 [events].
        weights: float32 [events].
        ages_days: float64 [events]: the age of each event at the time of the training, in days.
    """
    is_liked = weights > 0
    items, weights = items[is_liked], weights[is_liked]
    ages = np.maximum(ages_days[is_liked], 0.0)
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
