import math
from collections.abc import Sequence

import numpy as np
import pytest

from service.domain.vectors import Vectors
from service.index.corpus_statistics import CorpusStatistics
from service.recommend.scoring import (
    MAX_REACH_FACTOR,
    SHARPNESS,
    MeanVector,
    NearestSource,
    SoftMaximum,
    Sources,
)

DIMENSIONS = 16


def units(seed: int, count: int) -> Vectors:
    """Return unit vectors that share a common component, as text embeddings do."""
    raw = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)) + 0.4
    unit: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def sources(
    vectors: Vectors, weights: Sequence[float], ages: Sequence[float] | None = None
) -> Sources:
    return Sources(
        vectors,
        np.array(weights, np.float32),
        np.ones(len(weights), np.float32),
        np.array(ages or [0.0] * len(weights), np.float32),
    )


def compute_statistics(vectors: Vectors) -> CorpusStatistics:
    mean: Vectors = vectors.mean(axis=0, dtype=np.float32)
    return CorpusStatistics(len(vectors), mean, vectors)


def cosine(one: Vectors, other: Vectors) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def compute_by_formula(vectors: Vectors, profile: Sources) -> list[float]:
    """Return every item's score, computed in plain Python."""
    items = vectors.astype(np.float64)
    mean = items.mean(axis=0) * len(items) / (len(items) + 1)
    cosines = [
        [cosine(item - mean, source.astype(np.float64) - mean) for source in profile.vectors]
        for item in items
    ]
    reach = [
        np.mean([max(row[n], 0.0) ** 3 for row in cosines]) ** (1 / 3)
        for n in range(len(profile.weights))
    ]
    factors = [
        min(max(np.mean(reach) / source_reach, 1 / MAX_REACH_FACTOR), MAX_REACH_FACTOR)
        for source_reach in reach
    ]
    weights = [
        weight * 0.25**age for weight, age in zip(profile.weights, profile.ages, strict=True)
    ]
    likes = [weight for weight in weights if weight > 0]
    dislikes = [-weight for weight in weights if weight < 0]

    def soft_maximum(row: list[float], sign: int) -> float:
        terms = [
            (abs(weight), math.exp(SHARPNESS * factor * cosine))
            for weight, factor, cosine in zip(weights, factors, row, strict=True)
            if weight * sign > 0
        ]
        total = sum(weight for weight, _ in terms)
        return math.log(sum(weight * raised for weight, raised in terms) / total) / SHARPNESS

    share = 1.0
    if likes and dislikes:
        share = min(1.0, float(np.mean(dislikes) / np.mean(likes)))
    return [
        (soft_maximum(row, 1) if likes else 0.0)
        - (share * soft_maximum(row, -1) if dislikes else 0.0)
        for row in cosines
    ]


@pytest.mark.parametrize(
    "weights", [(1.0,), (1.0, 1.0, 1.0), (3.0, 0.5, -1.0), (2.0, -0.5, -0.25), (-1.0, -2.0)]
)
@pytest.mark.parametrize("aged", [False, True])
def test_the_soft_maximum_agrees_with_its_formula(weights: Sequence[float], *, aged: bool) -> None:
    """Every item has the score of the formula, with likes, dislikes and ages."""
    vectors = units(1, 120)
    ages = np.linspace(1, 0, len(weights)).tolist() if aged else None
    profile = sources(units(2, len(weights)), weights, ages)
    scores = SoftMaximum(profile, compute_statistics(vectors)).score(vectors)
    assert pytest.approx(compute_by_formula(vectors, profile), abs=1e-4) == scores.tolist()


def test_one_like_ranks_by_the_centered_cosine() -> None:
    """For a single like, the score is the cosine after the catalog's mean is subtracted."""
    vectors = units(5, 200)
    scores = SoftMaximum(sources(vectors[:1], [1.0]), compute_statistics(vectors)).score(vectors)
    assert 0 == scores.argmax()
    assert pytest.approx(1.0, abs=1e-5) == scores[0]


def test_a_like_with_many_similar_items_leaves_places_to_another() -> None:
    """Of two likes, the one with many similar items does not take all of the first places."""
    rng = np.random.default_rng(3)
    crowd, few = np.eye(DIMENSIONS, dtype=np.float32)[:2]
    near_crowd = crowd + 0.2 * rng.normal(size=(60, DIMENSIONS))
    near_few = few + 0.3 * rng.normal(size=(8, DIMENSIONS))
    raw = np.concatenate([near_crowd, near_few, rng.normal(size=(200, DIMENSIONS))])
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    profile = sources(np.stack([crowd, few]), [1.0, 1.0])
    best = np.argsort(-SoftMaximum(profile, compute_statistics(vectors)).score(vectors))[:10]
    assert 3 <= np.count_nonzero((best >= 60) & (best < 68))


def test_an_older_like_counts_less() -> None:
    """Of two likes of equal weight, the item of the latest one ranks first."""
    vectors = units(14, 100)
    for ages, best in (([1.0, 0.0], 1), ([0.0, 1.0], 0)):
        profile = sources(vectors[:2], [1.0, 1.0], ages)
        assert best == SoftMaximum(profile, compute_statistics(vectors)).score(vectors).argmax()


def test_a_dislike_lowers_similar_items() -> None:
    """A dislike lowers the scores of similar items most."""
    likes, dislike = units(6, 2), units(7, 1)
    vectors = np.concatenate([units(8, 200), dislike])
    without = SoftMaximum(sources(likes, [1.0, 1.0]), compute_statistics(vectors)).score(vectors)
    profile = sources(np.concatenate([likes, dislike]), [1.0, 1.0, -1.0])
    with_dislike = SoftMaximum(profile, compute_statistics(vectors)).score(vectors)
    assert with_dislike[-1] < without[-1] - 0.5
    assert len(vectors) - 1 == (with_dislike - without).argmin()


@pytest.mark.parametrize("ranking", [SoftMaximum, NearestSource, MeanVector])
def test_a_stronger_dislike_lowers_more(
    ranking: type[SoftMaximum | NearestSource | MeanVector],
) -> None:
    """The greater the weight of a dislike, the lower the scores of similar items."""
    like, dislike = units(9, 1), units(10, 1)
    vectors = np.concatenate([units(11, 50), dislike])
    both = np.concatenate([like, dislike])
    scores = [
        float(
            ranking(sources(both, [1.0, -weight]), compute_statistics(vectors)).score(vectors)[-1]
        )
        for weight in (0.1, 0.5, 1.0)
    ]
    assert sorted(scores, reverse=True) == scores
    assert scores[0] > scores[-1] + 0.5


@pytest.mark.parametrize("ranking", [SoftMaximum, NearestSource, MeanVector])
def test_with_dislikes_only_the_farthest_items_are_best(
    ranking: type[SoftMaximum | NearestSource | MeanVector],
) -> None:
    """Without likes, the best item is one of the least similar to the dislikes."""
    vectors, disliked = units(12, 1_000), units(13, 1)
    scores = ranking(sources(disliked, [-1.0]), compute_statistics(vectors)).score(vectors)
    cosines = vectors @ disliked[0]
    assert cosines[scores.argmax()] <= np.quantile(cosines, 0.02)


@pytest.mark.parametrize("ranking", [SoftMaximum, NearestSource, MeanVector])
def test_the_like_with_the_greater_weight_ranks_first(
    ranking: type[SoftMaximum | NearestSource | MeanVector],
) -> None:
    """Of two likes, the item of the one with the greater weight ranks first."""
    vectors = units(14, 100)
    for weights, best in (([5.0, 1.0], 0), ([1.0, 5.0], 1)):
        scores = ranking(sources(vectors[:2], weights), compute_statistics(vectors)).score(vectors)
        assert best == scores.argmax()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_tiny_catalog_has_finite_scores(number: int) -> None:
    """With one to three items, scores are finite and the liked item ranks first."""
    vectors = units(17, number)
    for position in range(number):
        profile = sources(vectors[position : position + 1], [1.0])
        scores = SoftMaximum(profile, compute_statistics(vectors)).score(vectors)
        assert np.isfinite(scores).all()
        assert position == scores.argmax()


def test_nearest_and_mean_are_plain_cosines() -> None:
    """The simpler rankings score by the nearest source and by the mean of the sources."""
    vectors, profile = units(18, 100), units(19, 4)
    likes = sources(profile, [1.0] * 4, [1.0, 0.5, 0.2, 0.0])
    nearest = (vectors @ profile.T).max(axis=1)
    mean = profile.mean(axis=0)
    assert nearest.tolist() == pytest.approx(
        NearestSource(likes, compute_statistics(vectors)).score(vectors).tolist(), abs=1e-6
    )
    assert (vectors @ mean / np.linalg.norm(mean)).tolist() == pytest.approx(
        MeanVector(likes, compute_statistics(vectors)).score(vectors).tolist(), abs=1e-6
    )
