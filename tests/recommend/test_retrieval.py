import numpy as np
import pytest
from support.clock import FakeClock
from support.item_indexes import create_item_index

from service.domain.items import Change
from service.domain.vectors import Keys, Mask, Vectors
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits
from service.recommend.source_search import MAX_BLOCK_ROWS, Adjustment, search_by_sources

DIMENSIONS = 16


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


def catalog(vectors: Vectors) -> ItemIndex:
    return create_item_index({f"i{n:05}": vector for n, vector in enumerate(vectors)})


def allow_all(item_index: ItemIndex) -> Mask:
    return np.ones(len(item_index), np.bool_)


def scores(hits: Hits) -> dict[int, float]:
    return dict(zip(hits.keys.tolist(), hits.scores.tolist(), strict=True))


SCORER = InnerProduct(units(1, 1)[0])


def test_every_item_is_scored() -> None:
    """With a limit of all items, each is returned once with its score, best first."""
    vectors = units(2, MAX_BLOCK_ROWS + 100)
    item_index = catalog(vectors)
    hits = search_by_sources(item_index, SCORER, len(item_index), allow_all(item_index))
    assert np.all(np.diff(hits.scores) <= 0)
    assert set(range(len(vectors))) == set(scores(hits))
    expected = SCORER.score(vectors)
    assert pytest.approx(expected[hits.keys].tolist(), abs=1e-6) == hits.scores.tolist()


@pytest.mark.parametrize("limit", [1, 49, 333, 1_000])
@pytest.mark.parametrize("forbidden", [0, 40, 900])
def test_the_best_allowed_items_are_returned(limit: int, forbidden: int) -> None:
    """The best allowed items are returned, up to the limit."""
    vectors = units(3, 1_000)
    item_index = catalog(vectors)
    order = np.argsort(-SCORER.score(vectors))
    allowed = allow_all(item_index)
    allowed[order[:forbidden]] = False
    hits = search_by_sources(item_index, SCORER, limit, allowed)
    assert order[forbidden:][:limit].tolist() == hits.keys.tolist()[:limit]
    assert set() == set(order[:forbidden].tolist()).intersection(hits.keys.tolist())


def test_ties_with_the_last_item_are_returned() -> None:
    """All items with the score of the last one are returned beyond the limit."""
    vectors = np.repeat(units(4, 2), [5, 5], axis=0)
    item_index = catalog(vectors)
    for limit in (1, 3, 5):
        assert 5 == len(search_by_sources(item_index, SCORER, limit, allow_all(item_index)).keys)


def test_without_allowed_items_there_are_no_hits() -> None:
    """An empty item index, and one without allowed items, has no hits."""
    empty = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    assert 0 == len(search_by_sources(empty, SCORER, 10, np.zeros(0, np.bool_)).keys)
    full = catalog(units(5, 3))
    assert 0 == len(search_by_sources(full, SCORER, 10, ~allow_all(full)).keys)


def test_a_bonus_is_added_before_the_best_are_selected() -> None:
    """The item with the lowest score is first if its bonus is large enough."""
    vectors = units(6, 500)
    item_index = catalog(vectors)
    worst = int(SCORER.score(vectors).argmin())

    def add_bonus(keys: Keys, scores: Vectors) -> Vectors:
        return scores + np.where(keys == worst, np.float32(3.0), np.float32(0.0))

    hits = search_by_sources(item_index, SCORER, 5, allow_all(item_index), Adjustment(add_bonus))
    assert worst == hits.keys[0]
    expected = float(SCORER.score(vectors)[worst]) + 3.0
    assert pytest.approx(expected, abs=1e-6) == float(hits.scores[0])


def test_an_item_counts_by_its_best_chunk() -> None:
    """An item with several chunks is returned once, with the score of its best chunk."""
    vectors = units(7, 40)
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    chunks = tuple(vectors[n].tobytes() for n in range(3))
    others = [Change(f"i{n}", "{}", (vectors[n].tobytes(),), None) for n in range(3, 40)]
    item_index.apply([Change("long", "{}", chunks, None), *others], 40)
    hits = search_by_sources(item_index, SCORER, 38, allow_all(item_index))
    assert 38 == len(hits.keys) == len(set(hits.keys.tolist()))
    key = item_index.find_key("long")
    assert key is not None
    best = float(SCORER.score(vectors[:3]).max())
    assert pytest.approx(best, abs=1e-6) == scores(hits)[key]
