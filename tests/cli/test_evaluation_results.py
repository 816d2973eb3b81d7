import math

import pytest

from service.cli.evaluation_results import (
    Latency,
    LikeStatistics,
    PersonResult,
    Quality,
    StrategyMetrics,
)

STATISTICS = LikeStatistics(10, {"a": 3, "b": 1, "c": 1}, 3)


def make_results(*pairs: tuple[str, str]) -> list[PersonResult]:
    """Return results from the letters of recommended and held-out items, 1, 2, 3 ms long."""
    return [
        PersonResult(list(recommended), frozenset(held_out), number / 1000)
        for number, (recommended, held_out) in enumerate(pairs, start=1)
    ]


def test_latency_is_in_milliseconds() -> None:
    """Latency is computed from seconds and is in milliseconds."""
    assert Latency(p50=2.0, p95=2.9) == Latency.from_seconds([0.001, 0.002, 0.003])


def test_metrics_of_a_strategy() -> None:
    """People without held-out items count for what is recommended and for latency only."""
    results = make_results(("ab", "a"), ("cd", "xd"), ("e", ""))
    metrics = StrategyMetrics.from_results("mine", results, STATISTICS)
    assert "mine" == metrics.strategy
    assert 0.75 == metrics.recall_at_20
    second = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert pytest.approx((1 + second) / 2) == metrics.ndcg_at_20
    assert 1.0 == metrics.hit_rate_at_20
    assert 0.5 == metrics.coverage_at_10
    assert pytest.approx((0 + 1 + 1 + 2 + 2) / 5) == metrics.novelty_at_10
    assert 0.2 == metrics.popular_at_10
    assert (2.0, 2.9) == (metrics.p50_ms, metrics.p95_ms)
    assert metrics.ndcg_gain is None


def test_intervals_contain_the_means() -> None:
    """The intervals of recall and nDCG are those of the people with held-out items."""
    results = make_results(*([("a", "a")] * 30), *([("b", "a")] * 10), ("b", ""))
    metrics = StrategyMetrics.from_results("mine", results, STATISTICS)
    assert 0.75 == metrics.recall_at_20 == metrics.ndcg_at_20
    assert metrics.recall_at_20_interval == metrics.ndcg_at_20_interval
    interval = metrics.recall_at_20_interval
    assert 0.5 < interval.low < 0.75 < interval.high < 1


def test_a_gain_is_that_of_the_same_people() -> None:
    """If everybody gains the same, the gain is certain, whatever the qualities of people are."""
    text_results = make_results(("bc", "bx"), ("ab", "bx"), ("", "x"), ("a", ""))
    results = make_results(("bx", "bx"), ("xb", "bx"), ("x", "x"), ("b", ""))
    gain = StrategyMetrics.from_results("mine", results, STATISTICS, text_results).ndcg_gain
    assert gain is not None
    assert gain.is_beyond_chance
    same = StrategyMetrics.from_results("mine", results, STATISTICS, results).ndcg_gain
    assert Quality(0.0, 0.0, 0.0) == same
    assert not same.is_beyond_chance


@pytest.mark.parametrize(
    ("interval", "is_beyond_chance"),
    [((0.01, 0.2), True), ((-0.01, 0.2), False), ((0.0, 0.2), False), ((-0.2, -0.01), True)],
)
def test_a_difference_beyond_chance(interval: tuple[float, float], is_beyond_chance: bool) -> None:
    """A difference is beyond chance if its interval does not contain 0."""
    assert is_beyond_chance == Quality(0.0, *interval).is_beyond_chance
