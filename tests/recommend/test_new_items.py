"""New items move up to the places that their texts earn them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.index.vector_index import Hits
from service.recommend.new_items import FULL_BOOST, NewItemBoost

COUNT = 40
NAMES = [f"i{number:02}" for number in range(COUNT)]


def rank(order: NDArray[np.int64]) -> list[tuple[str, float, int]]:
    return [(NAMES[key], -float(place), key) for place, key in enumerate(order.tolist())]


def draw_hits(seed: int, count: int = COUNT) -> Hits:
    keys = np.random.default_rng(seed).permutation(COUNT)[:count]
    return Hits(keys, -np.arange(count, dtype=np.float32))


def list_names(hits: Hits) -> list[str]:
    return [NAMES[key] for key in hits.keys.tolist()]


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_new_item_comes_no_later_than_its_share_of_the_place_by_text(
    seed: int, factor: float
) -> None:
    """With a boost of 2 the place by text is the bound, with 1 twice the place, and so on."""
    new = frozenset(["i03", "i14", "i25", "i39"])
    hits = draw_hits(seed, 20)
    by_text = rank(np.random.default_rng(seed + 100).permutation(COUNT))
    boost = NewItemBoost(new, factor)
    moved = boost.move_up(hits, by_text[: boost.count_text_places(20)])
    names = list_names(moved)
    assert len(set(names)) == len(names)
    for text_place, (name, _, _) in enumerate(by_text, start=1):
        bound = text_place * FULL_BOOST / factor
        if name in new and bound <= 20:
            assert names.index(name) + 1 < bound + 1
    known = [name for name in list_names(hits) if name not in new]
    assert known == [name for name in names if name not in new]
    assert np.all(np.diff(moved.scores) <= 0)


def test_with_a_large_boost_new_items_lead_in_their_order_by_text() -> None:
    """Where several new items would have the same place, they follow each other."""
    by_text = rank(np.arange(COUNT))
    boost = NewItemBoost(frozenset(NAMES[:10:2]), 10.0)
    names = list_names(
        boost.move_up(Hits(np.arange(COUNT)[::-1], np.zeros(COUNT, np.float32)), by_text)
    )
    assert NAMES[:10:2] == names[:5]
    assert [name for name in NAMES[::-1] if name not in names[:5]] == names[5:]


def test_a_new_item_that_comes_early_stays() -> None:
    """The boost moves no item down, and with nothing to move it changes nothing."""
    hits = draw_hits(1)
    worst_by_text = rank(hits.keys[::-1])
    moved = NewItemBoost(frozenset([NAMES[hits.keys[0]]]), FULL_BOOST).move_up(hits, worst_by_text)
    assert hits.keys.tolist() == moved.keys.tolist()
    assert hits.scores.tolist() == moved.scores.tolist()


def test_without_boost_or_new_items_no_search_by_text_is_needed() -> None:
    """How many places by text count follows the boost, and is 0 where nothing can move."""
    assert 0 == NewItemBoost(frozenset("a"), 0.0).count_text_places(20)
    assert 0 == NewItemBoost(frozenset(), 2.0).count_text_places(20)
    assert [10, 20, 100] == [
        NewItemBoost(frozenset("a"), factor).count_text_places(20) for factor in (1, 2, 10)
    ]


def test_no_item_is_added_beyond_the_last_hit() -> None:
    """A new item whose place is behind the last hit is not added."""
    hits = draw_hits(2, 3)
    absent = next(key for key in range(COUNT) if key not in hits.keys)
    by_text = rank(np.array([*hits.keys, absent]))
    assert 3 == len(
        NewItemBoost(frozenset([NAMES[absent]]), FULL_BOOST).move_up(hits, by_text).keys
    )
