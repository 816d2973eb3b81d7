"""Results of an evaluation, with the field names of `akin evaluate --json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Self

import akin

from service.cli.evaluation_input import SplitSummary
from service.cli.evaluation_metrics import (
    Interval,
    compute_coverage,
    compute_interval,
    compute_ndcg,
    compute_novelty,
    compute_percentile,
    compute_popular_share,
    compute_recall,
    has_hit,
    list_popular_items,
)

_MS_PER_SECOND = 1_000


@dataclass(frozen=True, slots=True)
class PersonResult:
    """Result for one person: recommended ids, best first, held-out ids, and the call's duration."""

    recommended: Sequence[str]
    held_out: frozenset[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class LikeStatistics:
    """What is known of a catalog before recommendations.

    Attributes:
        item_count: the number of items.
        like_counts: the number of people who visibly like each item.
        people_count: the number of people with visible likes.
    """

    item_count: int
    like_counts: Mapping[str, int]
    people_count: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the durations of calls, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def from_seconds(cls, seconds: Sequence[float]) -> Self:
        """Return the percentiles of durations in seconds; there must be at least one."""
        return cls(
            *(
                round(_MS_PER_SECOND * compute_percentile(seconds, percent), 3)
                for percent in (50, 95)
            )
        )


@dataclass(frozen=True, slots=True)
class Quality:
    """A mean over people with its 95% interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def from_values(cls, values: Sequence[float]) -> Self:
        """Return the mean of one value for each person, at least one."""
        interval: Interval = compute_interval(values)
        return cls(fmean(values), interval.low, interval.high)

    @property
    def is_beyond_chance(self) -> bool:
        """Is the mean, which must be that of a difference, not 0 beyond chance?"""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class StrategyMetrics:
    """Metrics of one strategy.

    Recall, nDCG and hit rate are means over the people who have held-out items.

    Attributes:
        strategy: the name.
        recall_at_20: from 0 to 1.
        recall_at_20_interval: the 95% interval.
        ndcg_at_20: from 0 to 1.
        ndcg_at_20_interval: the 95% interval.
        ndcg_gain: the gain in nDCG over text alone; None if that is not measured.
        hit_rate_at_20: from 0 to 1.
        coverage_at_10: from 0 to 1.
        novelty_at_10: in bits.
        popular_at_10: the share of popular items.
        p50_ms: the median of the durations of calls.
        p95_ms: their 95th percentile.
    """

    strategy: str
    recall_at_20: float
    recall_at_20_interval: Interval
    ndcg_at_20: float
    ndcg_at_20_interval: Interval
    ndcg_gain: Quality | None
    hit_rate_at_20: float
    coverage_at_10: float
    novelty_at_10: float
    popular_at_10: float
    p50_ms: float
    p95_ms: float

    @classmethod
    def from_results(
        cls,
        strategy: str,
        results: Sequence[PersonResult],
        statistics: LikeStatistics,
        text_results: Sequence[PersonResult] | None = None,
    ) -> Self:
        """Return the metrics of a strategy.

        Args:
            strategy: the name.
            results: the result of each person; at least one has held-out items.
            statistics: of the catalog.
            text_results: the results of the same people by text alone, if these are others.
        """
        judged = [(result.recommended, result.held_out) for result in results if result.held_out]
        recommended = [result.recommended for result in results]
        latency = Latency.from_seconds([result.seconds for result in results])
        recalls, ndcgs = compute_recalls(results), compute_ndcgs(results)
        return cls(
            strategy=strategy,
            recall_at_20=fmean(recalls),
            recall_at_20_interval=compute_interval(recalls),
            ndcg_at_20=fmean(ndcgs),
            ndcg_at_20_interval=compute_interval(ndcgs),
            ndcg_gain=None if text_results is None else _compute_gain(results, text_results),
            hit_rate_at_20=fmean(has_hit(*pair) for pair in judged),
            coverage_at_10=compute_coverage(recommended, statistics.item_count),
            novelty_at_10=compute_novelty(
                recommended, statistics.like_counts, statistics.people_count
            ),
            popular_at_10=compute_popular_share(
                recommended, list_popular_items(statistics.like_counts)
            ),
            p50_ms=latency.p50,
            p95_ms=latency.p95,
        )


@dataclass(frozen=True, slots=True)
class LearnedSummary:
    """What the server learned from the visible likes.

    Attributes:
        like_count: the number of likes.
        item_count: the number of items that anything is learned about.
        test_people: the number of people whose latest visible likes the server predicted.
        text_ndcg: the mean nDCG@20 of that prediction by text alone.
        ndcg_gain: the mean gain of text and behavior together.
        ndcg_gain_lower_bound: the lower end of its 95% interval.
        uses_behavior: behavior counts beside text, because the lower bound is above 0.
    """

    like_count: int
    item_count: int
    test_people: int
    text_ndcg: float
    ndcg_gain: float
    ndcg_gain_lower_bound: float
    uses_behavior: bool

    @classmethod
    def from_model(cls, model: akin.BehaviorModel) -> Self:
        """Return the summary of a catalog's model."""
        return cls(
            model.like_count,
            model.item_count,
            model.test_user_count,
            model.text_ndcg,
            model.ndcg_gain,
            model.ndcg_gain_lower_bound,
            model.behavior_weight > 0,
        )


@dataclass(frozen=True, slots=True)
class ColdPeople:
    """Quality for people of whom little is known.

    Attributes:
        likes: the number of likes that the server received; 0 for the text of one liked item.
        strategy: the name.
        people: the number of people with as many visible likes.
        recall_at_20: with its interval.
    """

    likes: int
    strategy: str
    people: int
    recall_at_20: Quality


@dataclass(frozen=True, slots=True)
class ColdItems:
    """Quality if some of the liked items are new, so that their likes are hidden.

    Attributes:
        strategy: the name, or the boost of new items.
        recall_of_new: recall@20 of the new items alone, for the people who like any later.
        recall_at_20: of all items.
    """

    strategy: str
    recall_of_new: Quality
    recall_at_20: Quality


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluation; the lists of cold people and items are empty unless requested."""

    people: int
    items: int
    split: SplitSummary
    strategies: Sequence[StrategyMetrics]
    item_query_ms: Latency
    user_with_50_likes_ms: Latency
    p95_ratio: float
    learned: LearnedSummary | None = None
    cold_people: Sequence[ColdPeople] = ()
    cold_items: Sequence[ColdItems] = ()


def compute_recalls(results: Sequence[PersonResult]) -> list[float]:
    """Return the recall of each person with held-out items."""
    return [
        compute_recall(result.recommended, result.held_out) for result in results if result.held_out
    ]


def compute_ndcgs(results: Sequence[PersonResult]) -> list[float]:
    """Return the nDCG of each person with held-out items."""
    return [
        compute_ndcg(result.recommended, result.held_out) for result in results if result.held_out
    ]


def _compute_gain(results: Sequence[PersonResult], text_results: Sequence[PersonResult]) -> Quality:
    """Return the gain in nDCG, by the difference of each person."""
    pairs = zip(compute_ndcgs(results), compute_ndcgs(text_results), strict=True)
    return Quality.from_values([ndcg - text_ndcg for ndcg, text_ndcg in pairs])
