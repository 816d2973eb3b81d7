"""Searches by vectors and words together find what scoring every item by both would find."""

from __future__ import annotations

import random

import numpy as np
import pytest
from support.clock import FakeClock

from service import errors
from service.domain.filters import Condition, Equals, Filter
from service.domain.items import Change
from service.domain.terms import count_terms
from service.domain.vectors import Vectors
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.lexical_search import SearchScope, WordQueries, WordQuery, search_by_words
from service.index.term_index import TermIndex

DIMENSIONS = 16
COUNT = 1_500
WORDS = [f"w{number}" for number in range(200)]
EVERYTHING = SearchScope(None, ())


def draw_units(seed: int, count: int) -> Vectors:
    raw = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    units: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return units


VECTORS = draw_units(1, COUNT)
QUERY = draw_units(2, 1)
DRAWN = random.Random(6)
TEXTS = [" ".join(DRAWN.choices(WORDS, k=DRAWN.randint(2, 20))) for _ in range(COUNT)]


def make_index(vectors: Vectors = VECTORS) -> ItemIndex:
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock(), TermIndex())
    changes = [
        Change(
            f"i{number:05}",
            '{"even": true}' if number % 2 == 0 else "{}",
            (vector.tobytes(),),
            None,
            count_terms(text),
        )
        for number, (vector, text) in enumerate(zip(vectors, TEXTS, strict=False))
    ]
    item_index.apply(changes, len(changes))
    return item_index


ITEM_INDEX = make_index()


def score_all(words: WordQuery) -> Vectors:
    """The scores of all items by definition."""
    terms = ITEM_INDEX.terms
    assert terms is not None
    return words.join(VECTORS @ QUERY[0], terms.score(words.terms, COUNT))


@pytest.mark.parametrize("limit", [1, 10, 200, COUNT])
@pytest.mark.parametrize("weight", [0.01, 0.3, 0.6, 0.99, 1.0])
@pytest.mark.parametrize("text", ["w1", "w2 w3 w4 w5 w6", "unknown"])
def test_the_best_items_by_both_are_found(text: str, weight: float, limit: int) -> None:
    """The scores of the hits are the best ones of all items."""
    words = WordQuery(tuple(count_terms(text)), weight)
    hits = search_by_words(ITEM_INDEX, QUERY, words, limit, EVERYTHING)
    best = np.sort(score_all(words))[::-1][:limit]
    assert pytest.approx(best.tolist(), abs=1e-5) == np.sort(hits.scores)[::-1][:limit].tolist()


def test_only_what_is_in_scope_is_found() -> None:
    """Hits pass the filter and are not excluded, even if they have the words."""
    words = WordQuery(("w1", "w2"), 0.9)
    order = np.argsort(-score_all(words))
    even = Filter(all=(Condition("even", Equals(value=True)),))
    excluded = set(order[:20].tolist())
    hits = search_by_words(ITEM_INDEX, QUERY, words, 10, SearchScope(even, excluded))
    expected = [key for key in order.tolist() if key % 2 == 0 and key not in excluded][:10]
    ranked = [key for _, _, key in ITEM_INDEX.rank_hits(hits, 10)]
    assert expected == ranked


def test_pending_and_deleted_items_are_not_found() -> None:
    """An item without a vector, or that is gone, is no hit, although its words match."""
    item_index = make_index(VECTORS[:50])
    words = WordQuery(("needle",), 0.9)
    pending = Change("p", "{}", (), None, {"needle": 1})
    deleted = Change("d", "{}", (VECTORS[60].tobytes(),), None, {"needle": 1})
    found = Change("f", "{}", (VECTORS[61].tobytes(),), None, {"needle": 1})
    item_index.apply([pending, deleted, found], 51)
    item_index.apply([Change("d", None, (), None)], 52)
    hits = search_by_words(item_index, QUERY, words, 60, EVERYTHING)
    ids = [item_id for item_id, _, _ in item_index.rank_hits(hits, 60)]
    assert "f" == ids[0]
    assert 51 == len(ids)
    assert not {"p", "d"} & {*ids}


def test_equal_items_tie() -> None:
    """Items with equal vectors and words have the same score, wherever they are."""
    item_index = make_index(np.repeat(VECTORS[:1], 40, axis=0))
    words = WordQuery(("unknown",), 0.5)
    hits = search_by_words(item_index, QUERY, words, 40, EVERYTHING)
    assert 40 == len(hits.keys)
    assert 1 == len({*hits.scores.tolist()})


def test_an_empty_index_has_no_hits() -> None:
    """A search in an empty index finds nothing."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock(), TermIndex())
    hits = search_by_words(item_index, QUERY, WordQuery(("a",), 0.5), 5, EVERYTHING)
    assert 0 == len(hits.keys)


def test_an_index_keeps_its_words_in_a_snapshot() -> None:
    """A restored index finds by words, and one from a snapshot without words says so."""
    restored = ItemIndex(ExactIndex(DIMENSIONS), FakeClock(), TermIndex())
    restored.restore(ITEM_INDEX.capture(), {})
    words = WordQuery(("w1", "w7"), 0.8)
    first, second = (
        item_index.rank_hits(search_by_words(item_index, QUERY, words, 5, EVERYTHING), 5)
        for item_index in (ITEM_INDEX, restored)
    )
    assert first == second
    assert not restored.lacks_terms
    without = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    without.restore(ITEM_INDEX.capture(), {})
    assert without.terms is None
    lacking = ItemIndex(ExactIndex(DIMENSIONS), FakeClock(), TermIndex())
    lacking.restore(without.capture(), {})
    assert lacking.lacks_terms


@pytest.mark.parametrize(
    ("default", "requested", "weight"),
    [(None, None, None), (None, 0.0, None), (0.6, None, 0.6), (0.6, 0.0, None), (0.0, None, None)],
)
def test_the_weight_of_a_request_comes_first(
    default: float | None, requested: float | None, weight: float | None
) -> None:
    """A request without a weight has the default, and with a weight of 0 words do not count."""
    words = WordQueries(default).make("a text", requested)
    assert weight == (None if words is None else words.weight)


def test_words_without_an_index_are_refused() -> None:
    """A weight above 0 is an error that names the setting if words are not indexed."""
    with pytest.raises(errors.HybridSearchOff, match="AKIN_HYBRID=true"):
        WordQueries().make("a text", 0.1)
