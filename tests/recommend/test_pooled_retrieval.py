import numpy as np
import pytest
from support.clock import FakeClock
from support.item_indexes import create_item_index

from service.domain.items import Change
from service.domain.vectors import Mask, Vectors
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits
from service.recommend.pooled_retrieval import ROWS_AT_ONCE, pooled

DIMENSIONS = 16


class Along:
    """Scores by the inner product with one direction."""

    def __init__(self, direction: Vectors) -> None:
        self.queries = direction[None]

    def scores(self, vectors: Vectors) -> Vectors:
        """The products."""
        scores: Vectors = vectors @ self.queries[0]
        return scores


def units(seed: int, count: int) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def catalog(vectors: Vectors) -> ItemIndex:
    return create_item_index({f"i{n:05}": vector for n, vector in enumerate(vectors)})


def every(item_index: ItemIndex) -> Mask:
    return np.ones(len(item_index), np.bool_)


def scores(hits: Hits) -> dict[int, float]:
    return dict(zip(hits.keys.tolist(), hits.scores.tolist(), strict=True))


SCORER = Along(units(1, 1)[0])


def test_every_item_is_scored() -> None:
    """Asked for all, every item is there once, best first, with its score, over several blocks."""
    vectors = units(2, ROWS_AT_ONCE + 100)
    item_index = catalog(vectors)
    hits = pooled(item_index, SCORER, len(item_index), every(item_index))
    assert np.all(np.diff(hits.scores) <= 0)
    assert set(range(len(vectors))) == set(scores(hits))
    expected = SCORER.scores(vectors)
    assert pytest.approx(expected[hits.keys].tolist(), abs=1e-6) == hits.scores.tolist()


@pytest.mark.parametrize("limit", [1, 49, 333, 1_000])
@pytest.mark.parametrize("forbidden", [0, 40, 900])
def test_the_best_that_are_allowed_come_back(limit: int, forbidden: int) -> None:
    """As many of the best allowed items come back as are asked for or there are."""
    vectors = units(3, 1_000)
    item_index = catalog(vectors)
    order = np.argsort(-SCORER.scores(vectors))
    allowed = every(item_index)
    allowed[order[:forbidden]] = False
    hits = pooled(item_index, SCORER, limit, allowed)
    assert order[forbidden:][:limit].tolist() == hits.keys.tolist()[:limit]
    assert set() == set(order[:forbidden].tolist()).intersection(hits.keys.tolist())


def test_what_ties_with_the_last_place_is_there() -> None:
    """Of items with one score none is left out for want of places."""
    vectors = np.repeat(units(4, 2), [5, 5], axis=0)
    item_index = catalog(vectors)
    for limit in (1, 3, 5):
        assert 5 == len(pooled(item_index, SCORER, limit, every(item_index)).keys)


def test_where_nothing_is_left_nothing_comes_back() -> None:
    """An item index that is empty, or of which nothing is allowed, gives no hits."""
    empty = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    assert 0 == len(pooled(empty, SCORER, 10, np.zeros(0, np.bool_)).keys)
    full = catalog(units(5, 3))
    assert 0 == len(pooled(full, SCORER, 10, ~every(full)).keys)


def test_a_lift_is_added_before_the_best_are_chosen() -> None:
    """An item that is lifted far enough is first, wherever its own score had put it."""
    vectors = units(6, 500)
    item_index = catalog(vectors)
    worst = int(SCORER.scores(vectors).argmin())

    def lift(keys: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Vectors:
        return np.where(keys == worst, np.float32(3.0), np.float32(0.0))

    hits = pooled(item_index, SCORER, 5, every(item_index), lift)
    assert worst == hits.keys[0]
    expected = float(SCORER.scores(vectors)[worst]) + 3.0
    assert pytest.approx(expected, abs=1e-6) == float(hits.scores[0])


def test_an_item_counts_by_its_best_chunk() -> None:
    """An item of several chunks comes once, with the score of the one that fits best."""
    vectors = units(7, 40)
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    chunks = tuple(vectors[n].tobytes() for n in range(3))
    others = [Change(f"i{n}", "{}", (vectors[n].tobytes(),), None) for n in range(3, 40)]
    item_index.apply([Change("long", "{}", chunks, None), *others], 40)
    hits = pooled(item_index, SCORER, 38, every(item_index))
    assert 38 == len(hits.keys) == len(set(hits.keys.tolist()))
    key = item_index.find_key("long")
    assert key is not None
    best = float(SCORER.scores(vectors[:3]).max())
    assert pytest.approx(best, abs=1e-6) == scores(hits)[key]
