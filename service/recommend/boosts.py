"""Adds the boosts of a query to scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.boosts import Boost, BoostCurve, Decay, DecayShape, NumberBoost
from service.domain.filters import Filter, count_conditions
from service.domain.vectors import Keys, Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits, combine_segment_hits
from service.recommend.scoring import Scorer
from service.recommend.source_search import Adjustment, measure_deviation, search_by_sources

_Values = NDArray[np.float64]

# Conditions of a filter that take as long as ranking the numbers of all items, which sorts them: at
# 100,000 items a condition takes 0.7 to 1 ms, and a rank 10 ms.
CONDITIONS_PER_RANK = 12

# Conditions that take as long as a decay: 2 ms at 100,000 items. Other boosts take 1 ms.
CONDITIONS_PER_DECAY = 2


@dataclass(frozen=True, slots=True)
class QueryBoosts:
    """What the boosts of a query add to scores.

    Attributes:
        totals: float32, by key: the sums of weights times values, in standard deviations.
    """

    totals: Vectors

    def adjust_scores(self, catalog_scores: Vectors) -> Adjustment:
        """Return the adjustment of scores whose unit is measured on those of the catalog."""
        unit = _measure_unit(catalog_scores)
        return Adjustment(lambda keys, scores: scores + unit * self.totals[keys])

    def follow(self, other: Adjustment) -> Adjustment:
        """Return the adjustment that makes another one, and then adds boosts to its z-scores."""

        def adjust(keys: Keys, scores: Vectors) -> Vectors:
            return other.adjust(keys, scores) + self.totals[keys]

        return Adjustment(adjust, other.further_keys)

    def search(
        self, item_index: ItemIndex, scorer: Scorer, sample: Vectors, allowed: Mask, limit: int
    ) -> Hits:
        """Return the best allowed items by boosted score; every one is scored.

        Args:
            item_index: the index to search.
            scorer: scores the items.
            sample: vectors of the catalog, whose scores the unit is measured on.
            allowed: the keys that may be hits.
            limit: the number of hits.
        """
        adjustment = self.adjust_scores(scorer.score(sample))
        return search_by_sources(item_index, scorer, limit, allowed, adjustment, exact=True)

    def select_popular(self, hits: Hits, allowed: Mask, limit: int) -> Hits:
        """Return the best allowed ones of all popular items by boosted score."""
        return self._select(hits, _measure_unit(hits.scores), allowed, limit)

    def select_best(self, hits: Hits, allowed: Mask, limit: int) -> Hits:
        """Return the best allowed hits by their z-scores with boosts."""
        return self._select(hits, np.float32(1.0), allowed, limit)

    def _select(self, hits: Hits, unit: np.float32, allowed: Mask, limit: int) -> Hits:
        scores = hits.scores + unit * self.totals[hits.keys]
        is_allowed = allowed[hits.keys]
        boosted = Hits(hits.keys[is_allowed], scores[is_allowed])
        return combine_segment_hits([boosted], limit)


def compute_boosts(item_index: ItemIndex, boosts: Sequence[Boost]) -> QueryBoosts:
    """Return what boosts, one or more, add to the scores of all items."""
    totals: _Values | float = 0.0
    for boost in boosts:
        totals = totals + boost.weight * _compute_values(item_index, boost)
    return QueryBoosts(np.asarray(totals, np.float32))


def count_boost_conditions(boosts: Sequence[Boost]) -> int:
    """Return about how many conditions of a filter take as long to evaluate for all items."""
    return sum(_count_conditions(boost.function) for boost in boosts)


def _count_conditions(function: Filter | NumberBoost | Decay | None) -> int:
    match function:
        case Filter():
            return count_conditions(function)
        case NumberBoost(curve=BoostCurve.RANK):
            return CONDITIONS_PER_RANK
        case Decay():
            return CONDITIONS_PER_DECAY
    return 1


def _compute_values(item_index: ItemIndex, boost: Boost) -> _Values:
    """Return the values of a boost by key, from 0 to 1."""
    attributes = item_index.attributes
    match boost.function:
        case Filter() as filter_:
            return attributes.compute_mask(filter_).astype(np.float64)
        case NumberBoost() as number:
            if number.min is None or number.max is None:
                values = attributes.rank_numbers(number.attribute)
            else:
                numbers = attributes.get_numbers(number.attribute)
                values = _grow(numbers, number, number.min, number.max)
        case Decay() as decay:
            origin = item_index.present_seconds if decay.origin is None else decay.origin
            values = _fall(attributes.get_numbers(decay.attribute), decay, origin)
        case None:
            raise AssertionError("a boost without a function breaks the contract")
    return np.nan_to_num(values, copy=False)


def _grow(numbers: _Values, boost: NumberBoost, least: float, most: float) -> _Values:
    """Return values that grow with numbers, from 0 at the least to 1 at the most."""
    excess: _Values = np.clip(numbers, least, most) - least
    width = most - least
    if boost.curve is BoostCurve.LOG:
        excess, width = np.log1p(excess), np.log1p(width)
    values: _Values = excess / width
    return values


def _fall(numbers: _Values, decay: Decay, origin: float) -> _Values:
    """Return values that fall with the distance of numbers from an origin; NaN stays NaN."""
    with np.errstate(over="ignore", under="ignore"):
        distances = np.maximum(np.abs(numbers - origin) - decay.offset, 0.0) / decay.scale
        match decay.shape:
            case DecayShape.EXPONENTIAL:
                values: _Values = decay.decay**distances
            case DecayShape.GAUSSIAN:
                values = decay.decay ** (distances * distances)
            case DecayShape.LINEAR:
                values = np.maximum(1.0 - (1.0 - decay.decay) * distances, 0.0)
    return values


def _measure_unit(scores: Vectors) -> np.float32:
    """Return the standard deviation of scores, 1 if they are equal or there are none."""
    deviation = measure_deviation(scores) if len(scores) else np.inf
    return np.float32(deviation if np.isfinite(deviation) else 1.0)
