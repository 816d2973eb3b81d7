import math
from collections.abc import Sequence

import numpy as np
import pytest
from support.clock import FakeClock
from support.views import view_of

from service.index.base import Hits, Vectors
from service.index.faiss_exact import ExactIndex
from service.pooling import SCAN_FROM_SOURCES, SHARPNESS, Sources, pooled
from service.storage import Change
from service.view import View

DIMENSIONS = 16


def units(seed: int, count: int) -> Vectors:
    """Unit vectors that share a common component, as text embeddings do."""
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)) + 0.4
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def catalog(vectors: Vectors) -> View:
    return view_of({f"i{n:05}": vector for n, vector in enumerate(vectors)})


def sources(vectors: Vectors, weights: Sequence[float]) -> Sources:
    return Sources(vectors, np.array(weights, np.float32))


def scores(hits: Hits) -> dict[int, float]:
    return dict(zip(hits.keys.tolist(), hits.scores.tolist(), strict=True))


def everything(view: View, tastes: Sources) -> dict[int, float]:
    return scores(pooled(view, tastes, len(view), (), exact=True))


def plain_score(candidate: Vectors, mean: Vectors, tastes: Sources) -> float:
    """One item's score, by the formula, in plain numbers."""

    def cosine(source: Vectors) -> float:
        x, q = candidate - mean, source - mean
        return float(x @ q / (np.linalg.norm(x) * np.linalg.norm(q)))

    def soft_maximum(weighted: list[tuple[Vectors, float]]) -> float:
        total = sum(weight for _, weight in weighted)
        exponentials = [weight * math.exp(SHARPNESS * cosine(v)) for v, weight in weighted]
        return math.log(sum(exponentials) / total) / SHARPNESS

    pairs = list(zip(tastes.vectors.astype(np.float64), tastes.weights.tolist(), strict=True))
    likes = [(vector, weight) for vector, weight in pairs if weight > 0]
    dislikes = [(vector, -weight) for vector, weight in pairs if weight < 0]
    score = soft_maximum(likes) if likes else 0.0
    if dislikes:
        mean_like = np.mean([weight for _, weight in likes]) if likes else 0.0
        mean_dislike = np.mean([weight for _, weight in dislikes])
        share = min(1.0, mean_dislike / mean_like) if likes else 1.0
        score -= soft_maximum(dislikes) * share
    return float(score)


@pytest.mark.parametrize(
    "weights", [(1.0,), (1.0, 1.0, 1.0), (3.0, 0.5, -1.0), (2.0, -0.5, -0.25), (-1.0, -2.0)]
)
def test_exact_scores_every_item_by_the_formula(weights: Sequence[float]) -> None:
    """Asked to be exact, every item is there, best first, with the score of the formula."""
    vectors = units(1, 300)
    view, tastes = catalog(vectors), sources(units(2, len(weights)), weights)
    mean = vectors.astype(np.float64).mean(axis=0)
    expected = {
        key: plain_score(vector.astype(np.float64), mean, tastes)
        for key, vector in enumerate(vectors, start=1)
    }
    hits = pooled(view, tastes, 300, (), exact=True)
    assert np.all(np.diff(hits.scores) <= 0)
    found = scores(hits)
    assert set(expected) == set(found)
    for key, score in expected.items():
        assert pytest.approx(score, abs=1e-5) == found[key]


def test_candidates_have_the_scores_that_exact_gives() -> None:
    """What is found through each source's neighbours has its exact score, and the best is found."""
    view, tastes = catalog(units(3, 2_000)), sources(units(4, 3), [1.0, 2.0, -1.0])
    exact = everything(view, tastes)
    hits = pooled(view, tastes, 10, (), exact=False)
    assert 10 == len(hits.keys)
    for key, score in scores(hits).items():
        assert pytest.approx(exact[key], abs=1e-5) == score
    assert max(exact, key=exact.__getitem__) == hits.keys[0]


def test_one_like_ranks_by_the_centred_cosine() -> None:
    """For a single like the score is the cosine once the catalogue's mean is taken out."""
    vectors = units(5, 200)
    found = everything(catalog(vectors), sources(vectors[:1], [1.0]))
    assert 1 == max(found, key=found.__getitem__)
    assert pytest.approx(1.0, abs=1e-5) == found[1]


def test_a_dislike_lowers_what_is_like_it() -> None:
    """An item near a disliked one scores lower for the dislike, and falls behind another."""
    likes, dislike = units(6, 2), units(7, 1)
    vectors = np.concatenate([units(8, 200), dislike])
    view = catalog(vectors)
    disliked_key = len(vectors)
    without = everything(view, sources(likes, [1.0, 1.0]))
    tastes = sources(np.concatenate([likes, dislike]), [1.0, 1.0, -1.0])
    with_dislike = everything(view, tastes)
    assert with_dislike[disliked_key] < without[disliked_key] - 0.5
    assert disliked_key == min(with_dislike, key=lambda key: with_dislike[key] - without[key])


def test_a_stronger_dislike_lowers_more() -> None:
    """The more a dislike weighs against the likes, the lower what is like it."""
    like, dislike = units(9, 1), units(10, 1)
    view = catalog(np.concatenate([units(11, 50), dislike]))
    both = np.concatenate([like, dislike])
    found = [everything(view, sources(both, [1.0, -weight]))[51] for weight in (0.1, 0.5, 1.0)]
    assert sorted(found, reverse=True) == found
    assert found[0] > found[-1] + 0.5


def test_who_only_dislikes_gets_what_is_farthest() -> None:
    """Without a like the best item is the one least like what is disliked."""
    vectors = units(12, 1_000)
    view, tastes = catalog(vectors), sources(units(13, 1), [-1.0])
    exact = everything(view, tastes)
    hits = pooled(view, tastes, 10, (), exact=False)
    assert max(exact, key=exact.__getitem__) == hits.keys[0]


def test_the_heavier_taste_comes_first() -> None:
    """Of two tastes the one that weighs more has its own item ahead."""
    vectors = units(14, 100)
    for weights, best in (([5.0, 1.0], 1), ([1.0, 5.0], 2)):
        hits = pooled(catalog(vectors), sources(vectors[:2], weights), 10, (), exact=True)
        assert best == hits.keys[0]


def test_only_the_proportion_of_weights_counts() -> None:
    """Weights that are all ten times larger give the same scores."""
    view, vectors = catalog(units(15, 100)), units(16, 3)
    expected = everything(view, sources(vectors, [1.0, 2.0, -0.5]))
    found = everything(view, sources(vectors, [10.0, 20.0, -5.0]))
    assert {key: pytest.approx(score, abs=1e-5) for key, score in expected.items()} == found


@pytest.mark.parametrize("limit", [1, 49, 51, 333, 1_000])
@pytest.mark.parametrize("excluded", [0, 40, 900])
def test_an_answer_is_never_short(limit: int, excluded: int) -> None:
    """As many hits as asked for come back as long as so many items are not excluded."""
    vectors = units(17, 1_000)
    view, tastes = catalog(vectors), sources(units(18, 2), [1.0, 1.0])
    exclude = pooled(view, tastes, 1_000, (), exact=True).keys[:excluded].tolist()
    hits = pooled(view, tastes, limit, exclude, exact=False)
    assert min(limit, 1_000 - excluded) <= len(hits.keys)
    assert set() == set(exclude).intersection(hits.keys.tolist())
    assert len(hits.keys) == len(set(hits.keys.tolist()))


def test_where_nothing_is_left_nothing_comes_back() -> None:
    """A view that is empty, or of which everything is excluded, gives no hits."""
    tastes = sources(units(20, 1), [1.0])
    empty = View(ExactIndex(DIMENSIONS), FakeClock())
    for exact in (True, False):
        assert 0 == len(pooled(empty, tastes, 10, (), exact=exact).keys)
        full = catalog(units(19, 3))
        assert 0 == len(pooled(full, tastes, 10, {1, 2, 3}, exact=exact).keys)


def test_many_sources_rank_as_few_do() -> None:
    """Where all items are scored rather than searched for, scores and order are the same."""
    view, vectors = catalog(units(21, 500)), units(22, SCAN_FROM_SOURCES)
    tastes = sources(vectors, [1.0] * SCAN_FROM_SOURCES)
    exact = everything(view, tastes)
    hits = pooled(view, tastes, 20, {1, 2}, exact=False)
    expected = sorted(set(exact) - {1, 2}, key=lambda key: -exact[key])[:20]
    assert expected == hits.keys.tolist()


def test_an_item_counts_by_its_best_passage() -> None:
    """An item of several passages comes once, with the score of the one that fits best."""
    vectors = units(23, 40)
    view = View(ExactIndex(DIMENSIONS), FakeClock())
    passages = (vectors[0].tobytes(), vectors[1].tobytes(), vectors[2].tobytes())
    others = [Change(n, f"i{n}", (vectors[n].tobytes(),), None) for n in range(3, 40)]
    view.apply([Change(1, "long", passages, None), *others], 40)
    for tastes in (sources(vectors[2:3], [1.0]), sources(vectors[2:8], [1.0] * 6)):
        hits = pooled(view, tastes, 38, (), exact=False)
        assert 38 == len(hits.keys) == len(set(hits.keys.tolist()))
        alone = view_of({f"i{n}": vectors[n] for n in range(40)})
        rows = pooled(alone, tastes, 40, (), exact=True)
        best = max(score for key, score in scores(rows).items() if key <= 3)
        assert pytest.approx(best, abs=1e-5) == scores(hits)[1]
