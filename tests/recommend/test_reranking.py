import numpy as np
import pytest

from service.domain.vectors import Vectors
from service.recommend.reranking import COMPARED, nearest_better, varied


def units(seed: int, count: int, common: float = 1.0) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, 16)) + common
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def falling(count: int) -> Vectors:
    scores: Vectors = np.linspace(0.9, 0.1, count).astype(np.float32)
    return scores


def mean_cosine(vectors: Vectors) -> float:
    cosines = vectors @ vectors.T
    return float(cosines[np.triu_indices(len(vectors), 1)].mean())


def test_no_diversity_keeps_the_order() -> None:
    """At 0 candidates come by their scores alone."""
    assert list(range(10)) == varied(falling(50), units(1, 50), 0.0, 10)


@pytest.mark.parametrize("diversity", [0.1, 0.5, 1.0])
def test_the_best_stays_first_and_nothing_comes_twice(diversity: float) -> None:
    """However varied, the best candidate is first and each comes once, as many as asked for."""
    order = varied(falling(50), units(2, 50), diversity, 20)
    assert 0 == order[0]
    assert 20 == len(set(order)) == len(order)


def test_candidates_differ_more_the_more_diversity_is_asked_for() -> None:
    """The mean cosine of what is taken falls, on the average, with each step of diversity."""
    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    means = [
        np.mean(
            [
                mean_cosine(units(seed, 60)[varied(falling(60), units(seed, 60), step, 10)])
                for seed in range(20)
            ]
        )
        for step in steps
    ]
    assert sorted(means, reverse=True) == means
    assert means[0] > means[-1] + 0.05


def test_full_diversity_takes_what_is_least_like_the_others() -> None:
    """At 1 the second item is the one farthest from the first."""
    vectors = units(3, 50)
    order = varied(falling(50), vectors, 1.0, 2)
    assert int((vectors @ vectors[0]).argmin()) == order[1]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_may_be_fewer_candidates_than_asked_for(count: int) -> None:
    """All candidates come where there are not more; none is no error."""
    order = varied(falling(count), units(4, count), 0.5, 5)
    assert count == len(order)


def test_equal_scores_are_no_trouble() -> None:
    """Where all scores are equal the vectors decide."""
    order = varied(np.full(5, 0.5, np.float32), units(5, 5), 0.5, 5)
    assert [0, 1, 2, 3, 4] == sorted(order)


def test_better_ones_that_are_near_are_found() -> None:
    """For each candidate exactly the better ones at or above the threshold come, nearest first."""
    vectors = units(6, 10)
    cosines = vectors @ vectors.T
    threshold = float(np.median(cosines))
    found = nearest_better(vectors, threshold)
    for worse in range(10):
        near = [n for n in range(worse) if cosines[n, worse] >= threshold - 1e-6]
        near.sort(key=lambda n: -cosines[n, worse])
        assert near == found.get(worse, [])


def test_a_copy_is_near_at_a_threshold_of_one() -> None:
    """Rounding does not keep equal vectors apart."""
    vector = units(7, 1)
    found = nearest_better(np.repeat(vector, 30, axis=0), 1.0)
    assert set(range(1, 30)) == set(found)
    assert COMPARED == max(map(len, found.values()))
