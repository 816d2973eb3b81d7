"""Blended scores, by what they must be for every item."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.behavior_models import build_model
from support.clock import FakeClock
from support.item_indexes import create_item_index, run_builds
from support.item_lists import draw_lists

from service.domain.behavior import BlendWeights
from service.domain.filters import Filter
from service.domain.items import Change
from service.domain.users import LikedItem
from service.domain.vectors import Mask, Vectors
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.recommend.blending import ScoredBehavior
from service.recommend.new_items import NewItemBoost
from service.recommend.source_search import search_by_sources

COUNT, DIMENSIONS = 300, 8
NAMES = [f"i{number:03}" for number in range(COUNT)]
LISTS = [[NAMES[number] for number in row] for row in draw_lists(1, 200, 200, clusters=3)]
LIKES = ["i001", "i005", "i017"]
WEIGHTS = BlendWeights(1.0, 0.4, 1.3).normalize()


class InnerProduct:
    """A scorer by the inner product with one direction."""

    def __init__(self, direction: Vectors) -> None:
        self.queries = direction[None]

    def score(self, vectors: Vectors) -> Vectors:
        """Return the products."""
        scores: Vectors = vectors @ self.queries[0]
        return scores


def units(seed: int, count: int) -> Vectors:
    raw = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    unit: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def prepare(weights: BlendWeights = WEIGHTS) -> ScoredBehavior:
    model = build_model(LISTS)
    profile = model.score([LikedItem(name) for name in LIKES], weights, oldest_first=True)
    assert profile is not None
    return ScoredBehavior(model, profile, NewItemBoost(frozenset(), 0.0))


def standardize(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    values = scores.astype(np.float64)
    deviation = values.std()
    return np.zeros(len(values)) if deviation < 1e-9 else (values - values.mean()) / deviation


def expect(behavior: ScoredBehavior, text: Vectors, weights: BlendWeights = WEIGHTS) -> list[float]:
    """Return the blended score of each item, from dense scores of the models.

    The model has 200 items, so that the mean and the deviation of its scores are over them.
    """
    only_ridge = prepare(BlendWeights(1.0, 0.0, 0.0)).profile
    only_next = prepare(BlendWeights(0.0, 1.0, 0.0)).profile
    sums = np.zeros(COUNT)
    for part, weight in ((only_ridge, weights.ridge), (only_next, weights.following)):
        dense = np.full(COUNT, part.base)
        ids = [behavior.model._ids.get(number) for number in part.numbers.tolist()]
        dense[[NAMES.index(item_id) for item_id in ids]] = part.scores
        sums += weight * dense
    total: list[float] = (sums + weights.text * standardize(text)).tolist()
    return total


def blend_all(
    behavior: ScoredBehavior, item_index: ItemIndex, scorer: InnerProduct, allowed: Mask, limit: int
) -> list[tuple[str, float]]:
    """Return the best items and their scores."""
    vectors = item_index.sample.read()
    blend = behavior.blend(item_index, allowed, limit, scorer.score(vectors))
    hits = search_by_sources(item_index, scorer, limit, allowed, blend.follow(None))
    return [(item_id, score) for item_id, score, _ in item_index.rank_hits(hits, limit)]


@pytest.mark.parametrize("share", [1.0, 0.3, 0.02])
@pytest.mark.parametrize("limit", [1, 20, COUNT])
def test_the_best_blended_items_come(share: float, limit: int) -> None:
    """Of the allowed items the best come, none short, each with the sum of its z-scores."""
    vectors, scorer, behavior = units(1, COUNT), InnerProduct(units(2, 1)[0]), prepare()
    item_index = create_item_index(dict(zip(NAMES, vectors, strict=True)))
    allowed = item_index.compute_mask(Filter(), item_index.find_keys(LIKES))
    allowed &= np.random.default_rng(3).random(COUNT) < share
    blended = blend_all(behavior, item_index, scorer, allowed, limit)
    expected = dict(zip(NAMES, expect(behavior, scorer.score(vectors)), strict=True))
    order = sorted(np.flatnonzero(allowed).tolist(), key=lambda key: -expected[NAMES[key]])
    assert [NAMES[key] for key in order[:limit]] == [item_id for item_id, _ in blended]
    assert [expected[name] for name, _ in blended] == pytest.approx(
        [score for _, score in blended], abs=1e-4
    )


def test_equal_texts_leave_the_ranking_to_behavior() -> None:
    """If all texts are the same, differences by rounding count for nothing."""
    behavior = prepare()
    vector = units(1, 1)[0]
    vectors = np.tile(vector, (COUNT, 1)) + np.float32(1e-8)
    item_index = create_item_index(dict(zip(NAMES, vectors, strict=True)))
    noise = np.random.default_rng(1).normal(size=COUNT).astype(np.float32) * 1e-7
    allowed = item_index.compute_mask(Filter(), ())
    blend = behavior.blend(item_index, allowed, 20, noise)
    assert blend.text_factor == 0
    blended = blend_all(behavior, item_index, InnerProduct(vector), allowed, COUNT)
    hits = behavior.rank(item_index, allowed, COUNT)
    assert item_index.get_ids(hits.keys[:10].tolist()) == [item_id for item_id, _ in blended[:10]]


def test_behavior_alone_ranks_what_it_speaks_for() -> None:
    """Without text the items come that behavior speaks for, the best first, and no others."""
    behavior = prepare(BlendWeights(0.7, 0.3, 0.0))
    item_index = create_item_index(dict(zip(NAMES, units(1, COUNT), strict=True)))
    allowed = item_index.compute_mask(Filter(), item_index.find_keys(LIKES))
    hits = behavior.rank(item_index, allowed, COUNT)
    assert 10 < len(hits.keys) < COUNT
    assert np.all(np.diff(hits.scores) <= 0)
    assert float(hits.scores.min()) > behavior.profile.base
    few = behavior.rank(item_index, allowed, 5)
    assert hits.keys[:5].tolist() == few.keys[:5].tolist()


class EagerIndex(SegmentedIndex):
    """An index whose graphs seem to cost nothing, as in a large catalog."""

    def estimate_cost(self, queries: int) -> int:
        """Return that a search costs nothing."""
        del queries
        return 0


@pytest.fixture(scope="module")
def large_index() -> ItemIndex:
    """An index with graphs; its first items are those of the other tests."""
    names = NAMES + [f"more{number:04}" for number in range(1_700)]
    index = EagerIndex(DIMENSIONS, first_graph_vectors=500, next_graph_vectors=500)
    item_index = ItemIndex(index, FakeClock())
    rows = zip(names, units(1, len(names)), strict=True)
    changes = [Change(name, "{}", (vector.tobytes(),), None) for name, vector in rows]
    item_index.apply(changes[:1_500], 1)
    run_builds(index)
    item_index.apply(changes[1_500:], 2)  # these are in no graph
    return item_index


@pytest.mark.parametrize("share", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("text_weight", [0.1, 1.3, 5.0])
def test_graphs_miss_little(large_index: ItemIndex, share: float, text_weight: float) -> None:
    """With graphs, answers are as long, of allowed items, with the same scores, and nearly equal.

    The best items by behavior are near no liked item by text.
    """
    scorer = InnerProduct(units(2, 1)[0])
    behavior = prepare(BlendWeights(1.0, 0.4, text_weight))
    allowed = large_index.compute_mask(Filter(), large_index.find_keys(LIKES))
    allowed &= np.random.default_rng(3).random(len(allowed)) < share
    sample_scores = scorer.score(large_index.sample.read())
    blend = behavior.blend(large_index, allowed, 20, sample_scores)
    ranked = []
    for exact in (True, False):
        hits = search_by_sources(large_index, scorer, 20, allowed, blend.follow(None), exact=exact)
        assert allowed[hits.keys].all()
        ranked.append({key: score for _, score, key in large_index.rank_hits(hits, 20)})
    expected, approximate = ranked
    assert min(20, np.count_nonzero(allowed)) == len(approximate) == len(expected)
    shared = expected.keys() & approximate.keys()
    assert len(shared) >= 0.9 * len(expected)
    assert {key: expected[key] for key in shared} == pytest.approx(
        {key: approximate[key] for key in shared}, abs=1e-4
    )
