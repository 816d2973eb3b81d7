from __future__ import annotations

import math

import pytest

from service.cli.figures import Answer, StrategyFigures, Times, percentile


def figures(*answers: Answer, items: int = 100) -> StrategyFigures:
    return StrategyFigures.of("s", answers, items)


def ids(*numbers: int) -> list[str]:
    return [f"i{number}" for number in numbers]


def test_the_figures_of_one_answer() -> None:
    """Two of four held-out items at the first and third place, by hand."""
    found = figures(Answer(ids(1, 50, 2, 51), frozenset(ids(1, 2, 3, 4)), 0.01))
    ideal = sum(1 / math.log2(place + 1) for place in (1, 2, 3, 4))
    assert 0.5 == found.recall_at_20
    assert pytest.approx((1 + 1 / math.log2(4)) / ideal, abs=1e-4) == found.ndcg_at_20
    assert 1.0 == found.hit_rate_at_20
    assert 0.04 == found.coverage_at_10


def test_more_held_out_than_there_are_places() -> None:
    """Beyond 20 held-out items a full answer of hits is a recall of 1."""
    answer = Answer(ids(*range(20)), frozenset(ids(*range(30))), 0.01)
    assert (1.0, 1.0) == (figures(answer).recall_at_20, figures(answer).ndcg_at_20)


def test_means_are_over_people_with_held_out_items() -> None:
    """Who has nothing held out counts for the coverage alone."""
    hit = Answer(ids(1), frozenset(ids(1)), 0.01)
    miss = Answer(ids(2), frozenset(ids(9)), 0.01)
    nothing = Answer(ids(3), frozenset(), 0.01)
    found = figures(hit, miss, nothing)
    assert (0.5, 0.5, 0.5) == (found.recall_at_20, found.ndcg_at_20, found.hit_rate_at_20)
    assert 0.03 == found.coverage_at_10


def test_only_the_first_ten_count_for_coverage() -> None:
    """Items beyond the tenth place are not covered."""
    found = figures(Answer(ids(*range(20)), frozenset(ids(1)), 0.01))
    assert 0.1 == found.coverage_at_10


def test_percentiles_are_of_the_calls() -> None:
    """Half of the calls keep the p50, nearly all the p95, in milliseconds."""
    seconds = [number / 1_000 for number in range(1, 101)]
    times = Times.of(seconds)
    assert 49.0 <= times.p50 <= 52.0
    assert 94.0 <= times.p95 <= 97.0
    assert 0.1 == percentile([0.1], 95)
