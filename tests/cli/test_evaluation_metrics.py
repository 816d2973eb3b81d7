import math
from statistics import fmean, stdev

import numpy as np
import pytest

from service.cli.evaluation_metrics import (
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


def test_novelty_is_in_bits() -> None:
    """An item that all 7 people like has 0 bits, and each halving of the likes adds one."""
    likes = {"all": 7, "half": 3, "one": 1}
    for item_id, bits in (("all", 0), ("half", 1), ("one", 2), ("nobody's", 3)):
        assert bits == compute_novelty([[item_id]], likes, 7)
    assert 1.25 == compute_novelty([["all", "half"], ["one", "one"]], likes, 7)


def test_novelty_counts_the_first_ten() -> None:
    """Novelty counts the first ten of each result, and counts an item as often as it occurs."""
    likes = dict.fromkeys(TWENTY[:10], 7)
    assert 0 == compute_novelty([TWENTY], likes, 7)
    assert 3 == compute_novelty([TWENTY[10:]], likes, 7)
    assert 1.5 == compute_novelty([TWENTY, TWENTY[10:]], likes, 7)


@pytest.mark.parametrize(
    ("likes", "popular"),
    [
        ({"a": 1, "b": 2, "c": 7}, {"c"}),
        ({"a": 2, "b": 2, "c": 2, "d": 2, "e": 2}, {"a"}),
        ({"f": 1, "e": 1, "d": 2, "c": 2, "b": 2, "a": 3}, {"a"}),
        ({"a": 10, "b": 9, **dict.fromkeys(TWENTY, 3)}, {"a", "b"}),
        (
            {"a": 1, **dict.fromkeys(TWENTY, 1), **dict.fromkeys("bcdefghijklmno", 1)},
            set("abcdefg"),
        ),
        ({"a": 0}, set()),
        ({}, set()),
    ],
)
def test_the_popular_items_have_a_fifth_of_all_likes(
    likes: dict[str, int], popular: set[str]
) -> None:
    """Popular are the fewest items with a fifth of all likes; ids decide between equal ones."""
    assert popular == list_popular_items(likes)


def test_the_share_of_popular_items() -> None:
    """The share counts the first ten of each result, with repetitions."""
    assert 0.5 == compute_popular_share([["a", "x"], ["a", "y"]], {"a", "z"})
    assert 0.9 == compute_popular_share([[*TWENTY[:9], "x", "a"]], TWENTY)


def test_an_interval_is_that_of_the_mean() -> None:
    """The interval is about 1.96 standard errors to both sides of the mean."""
    values = np.random.default_rng(1).exponential(size=400).tolist()
    error = stdev(values) / math.sqrt(len(values))
    interval = compute_interval(values)
    assert pytest.approx(fmean(values) - 1.96 * error, abs=0.2 * error) == interval.low
    assert pytest.approx(fmean(values) + 1.96 * error, abs=0.2 * error) == interval.high


def test_an_interval_covers_the_true_mean() -> None:
    """Of intervals for samples from one population, 95% contain its mean."""
    rng = np.random.default_rng(2)
    intervals = [compute_interval(rng.normal(3, 1, 60).tolist()) for _ in range(200)]
    assert 180 <= sum(interval.low < 3 < interval.high for interval in intervals) <= 199


def test_an_interval_depends_on_the_seed_alone() -> None:
    """The same values and seed give the same interval, and equal values one without a width."""
    values = [0.0, 0.5, 1.0, 0.25]
    assert compute_interval(values, 1) == compute_interval(values, 1)
    assert compute_interval(values, 1) != compute_interval([*values, 0.9], 1)
    interval = compute_interval([0.5])
    assert (0.5, 0.5) == (interval.low, interval.high)


def test_percentiles_are_interpolated() -> None:
    """A percentile is interpolated between the two nearest values."""
    assert 2.5 == compute_percentile([4.0, 1.0, 3.0, 2.0], 50)
    assert pytest.approx(95.05) == compute_percentile([float(n) for n in range(1, 101)], 95)
    assert 7.0 == compute_percentile([7.0], 95)


def test_nothing_is_recommended() -> None:
    """Without any recommendation, novelty and the share of popular items are 0."""
    assert 0 == compute_novelty([[], []], {"a": 1}, 2)
    assert 0 == compute_popular_share([[], []], {"a"})
