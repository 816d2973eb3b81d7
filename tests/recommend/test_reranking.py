import numpy as np
import pytest

from service.domain.vectors import Vectors
from service.recommend.reranking import (
    MAX_COMPARED_TEXTS,
    find_nearest_better,
    order_by_marginal_relevance,
)


def units(seed: int, count: int, common: float = 1.0) -> Vectors:
    raw = np.random.default_rng(seed).normal(size=(count, 16)) + common
    unit: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def falling(count: int) -> Vectors:
    scores: Vectors = np.linspace(0.9, 0.1, count).astype(np.float32)
    return scores


def mean_cosine(vectors: Vectors) -> float:
    cosines = vectors @ vectors.T
    return float(cosines[np.triu_indices(len(vectors), 1)].mean())


def test_no_diversity_keeps_the_order() -> None:
    """At 0, candidates are ordered by their scores alone."""
    assert list(range(10)) == order_by_marginal_relevance(falling(50), units(1, 50), 0.0, 10)


@pytest.mark.parametrize("diversity", [0.1, 0.5, 1.0])
def test_the_best_stays_first_and_each_occurs_once(diversity: float) -> None:
    """With any diversity, the best candidate is first and each occurs once, up to the limit."""
    order = order_by_marginal_relevance(falling(50), units(2, 50), diversity, 20)
    assert 0 == order[0]
    assert 20 == len(set(order)) == len(order)


def test_more_diversity_gives_less_similar_candidates() -> None:
    """The mean cosine of the selected candidates falls on average with each step of diversity."""
    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    means = [
        np.mean(
            [
                mean_cosine(
                    units(seed, 60)[
                        order_by_marginal_relevance(falling(60), units(seed, 60), step, 10)
                    ]
                )
                for seed in range(20)
            ]
        )
        for step in steps
    ]
    assert sorted(means, reverse=True) == means
    assert means[0] > means[-1] + 0.05


def test_full_diversity_selects_the_least_similar_candidate() -> None:
    """At 1, the second candidate is the one farthest from the first."""
    vectors = units(3, 50)
    order = order_by_marginal_relevance(falling(50), vectors, 1.0, 2)
    assert int((vectors @ vectors[0]).argmin()) == order[1]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_may_be_fewer_candidates_than_the_limit(count: int) -> None:
    """All candidates are selected if there are fewer than the limit, also none."""
    order = order_by_marginal_relevance(falling(count), units(4, count), 0.5, 5)
    assert count == len(order)


def test_candidates_with_equal_scores_are_selected_once() -> None:
    """With equal scores, every candidate is still selected once."""
    order = order_by_marginal_relevance(np.full(5, 0.5, np.float32), units(5, 5), 0.5, 5)
    assert [0, 1, 2, 3, 4] == sorted(order)


def test_the_nearest_better_candidates_are_found() -> None:
    """Each candidate has exactly the better ones at or above the threshold, nearest first."""
    vectors = units(6, 10)
    cosines = vectors @ vectors.T
    threshold = float(np.median(cosines))
    nearest = find_nearest_better(vectors, threshold)
    for worse in range(10):
        near = [n for n in range(worse) if cosines[n, worse] >= threshold - 1e-6]
        near.sort(key=lambda n: -cosines[n, worse])
        assert near == nearest.get(worse, [])


def test_a_copy_is_near_at_a_threshold_of_one() -> None:
    """Rounding does not keep equal vectors apart."""
    vector = units(7, 1)
    nearest = find_nearest_better(np.repeat(vector, 30, axis=0), 1.0)
    assert set(range(1, 30)) == set(nearest)
    assert MAX_COMPARED_TEXTS == max(map(len, nearest.values()))
