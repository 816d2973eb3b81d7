import math
from itertools import count

import pytest

from service.cli.evaluation import (
    Answer,
    StrategyFigures,
    Times,
    coverage,
    hit,
    ndcg,
    percentile,
    recall,
    spread,
)

TWENTY = [f"item {number}" for number in range(20)]


def test_recall_counts_hits() -> None:
    """Recall is the share of the held-out items that are among those recommended."""
    assert 2 / 3 == recall(["a", "b", "c", "d"], {"b", "d", "z"})


def test_recall_can_be_whole() -> None:
    """Where more is held out than is recommended, 20 hits are all that is possible."""
    assert 1.0 == recall(TWENTY, {*TWENTY, "y", "z"})


def test_what_comes_after_twenty_does_not_count() -> None:
    """A held-out item at place 21 is no hit for any of the figures."""
    late = [*TWENTY, "z"]
    assert [0.0, 0.0, 0.0] == [figure(late, {"z"}) for figure in (recall, ndcg, hit)]


def test_ndcg_of_two_hits() -> None:
    """Hits at places 1 and 3 of three possible ones gain 1 + 1/2 of 1 + 1/log2(3) + 1/2."""
    expected = 1.5 / (1 + 1 / math.log2(3) + 0.5)
    assert pytest.approx(expected) == ndcg(["a", "x", "b"], {"a", "b", "c"})


def test_ndcg_of_the_ideal_order() -> None:
    """With all hits first the gain is whole, however many are held out."""
    assert 1.0 == ndcg(["a", "b", "x"], {"a", "b"})
    assert 1.0 == ndcg(TWENTY, {*TWENTY, "y", "z"})


def test_hit_is_all_or_nothing() -> None:
    """One hit counts as much as two, and none as nothing."""
    held_out = {"a", "b"}
    assert [1.0, 1.0, 0.0] == [hit(each, held_out) for each in (["a"], ["a", "b"], ["c"])]


def test_coverage_counts_tops() -> None:
    """Coverage counts an item once, and only if it is in the first ten of an answer."""
    assert 11 / 40 == coverage([TWENTY, [*TWENTY[:9], "z"]], 40)


def test_percentiles() -> None:
    """A percentile lies between its two neighbors in proportion."""
    assert 2.5 == percentile([4.0, 1.0, 3.0, 2.0], 50)
    assert pytest.approx(95.05) == percentile([float(n) for n in range(1, 101)], 95)
    assert 7.0 == percentile([7.0], 95)


def test_times_are_milliseconds() -> None:
    """Times are told in milliseconds."""
    assert Times(p50=2.0, p95=2.9) == Times.of([0.001, 0.002, 0.003])


def test_spread_is_even() -> None:
    """What is picked lies at even distances, and is everything if too little is there."""
    assert [0, 2, 5, 7] == spread(range(10), 4)
    assert [0, 1, 2] == spread(range(3), 50)


def test_figures_of_a_strategy() -> None:
    """People without held-out items count for the coverage alone."""
    seconds = (each / 1000 for each in count(1))
    answers = [
        Answer(["a", "b"], frozenset({"a"}), next(seconds)),
        Answer(["c", "d"], frozenset({"x", "d"}), next(seconds)),
        Answer(["e"], frozenset(), next(seconds)),
    ]
    found = StrategyFigures.of("mine", answers, 10)
    assert "mine" == found.strategy
    assert 0.75 == found.recall_at_20
    second = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert pytest.approx((1 + second) / 2) == found.ndcg_at_20
    assert 1.0 == found.hit_rate_at_20
    assert 0.5 == found.coverage_at_10
    assert (2.0, 2.9) == (found.p50_ms, found.p95_ms)
