import math
from itertools import count

import pytest

from service.cli.evaluation_metrics import (
    Latency,
    PersonResult,
    StrategyMetrics,
    compute_coverage,
    compute_ndcg,
    compute_percentile,
    compute_recall,
    has_hit,
)
from service.cli.evaluation_run import choose_evenly

TWENTY = [f"item {number}" for number in range(20)]


def test_recall_counts_hits() -> None:
    """Recall is the share of the held-out items that are recommended."""
    assert 2 / 3 == compute_recall(["a", "b", "c", "d"], {"b", "d", "z"})


def test_recall_can_be_one() -> None:
    """With more held-out items than recommendations, 20 hits are a recall of 1."""
    assert 1.0 == compute_recall(TWENTY, {*TWENTY, "y", "z"})


def test_ranks_after_twenty_do_not_count() -> None:
    """A held-out item at rank 21 is no hit in any metric."""
    late = [*TWENTY, "z"]
    metrics = (compute_recall, compute_ndcg, has_hit)
    assert [0.0, 0.0, False] == [metric(late, {"z"}) for metric in metrics]


def test_ndcg_of_two_hits() -> None:
    """Hits at ranks 1 and 3 of three possible ones gain 1 + 1/2 of 1 + 1/log2(3) + 1/2."""
    expected = 1.5 / (1 + 1 / math.log2(3) + 0.5)
    assert pytest.approx(expected) == compute_ndcg(["a", "x", "b"], {"a", "b", "c"})


def test_ndcg_of_the_ideal_order() -> None:
    """With all hits first, nDCG is 1 for any number of held-out items."""
    assert 1.0 == compute_ndcg(["a", "b", "x"], {"a", "b"})
    assert 1.0 == compute_ndcg(TWENTY, {*TWENTY, "y", "z"})


def test_a_hit_is_all_or_nothing() -> None:
    """One hit counts as much as two."""
    held_out = {"a", "b"}
    assert [True, True, False] == [has_hit(ids, held_out) for ids in (["a"], ["a", "b"], ["c"])]


def test_coverage_counts_the_first_ten() -> None:
    """Coverage counts an item once, and only if it is in the first ten of a result."""
    assert 11 / 40 == compute_coverage([TWENTY, [*TWENTY[:9], "z"]], 40)


def test_percentiles_are_interpolated() -> None:
    """A percentile is interpolated between the two nearest values."""
    assert 2.5 == compute_percentile([4.0, 1.0, 3.0, 2.0], 50)
    assert pytest.approx(95.05) == compute_percentile([float(n) for n in range(1, 101)], 95)
    assert 7.0 == compute_percentile([7.0], 95)


def test_latency_is_in_milliseconds() -> None:
    """Latency is computed from seconds and is in milliseconds."""
    assert Latency(p50=2.0, p95=2.9) == Latency.from_seconds([0.001, 0.002, 0.003])


def test_values_are_chosen_evenly() -> None:
    """Chosen values have even distances; all are chosen if there are too few."""
    assert [0, 2, 5, 7] == choose_evenly(range(10), 4)
    assert [0, 1, 2] == choose_evenly(range(3), 50)


def test_metrics_of_a_strategy() -> None:
    """People without held-out items count for coverage and latency only."""
    seconds = (number / 1000 for number in count(1))
    results = [
        PersonResult(["a", "b"], frozenset({"a"}), next(seconds)),
        PersonResult(["c", "d"], frozenset({"x", "d"}), next(seconds)),
        PersonResult(["e"], frozenset(), next(seconds)),
    ]
    metrics = StrategyMetrics.from_results("mine", results, 10)
    assert "mine" == metrics.strategy
    assert 0.75 == metrics.recall_at_20
    second = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert pytest.approx((1 + second) / 2) == metrics.ndcg_at_20
    assert 1.0 == metrics.hit_rate_at_20
    assert 0.5 == metrics.coverage_at_10
    assert (2.0, 2.9) == (metrics.p50_ms, metrics.p95_ms)
