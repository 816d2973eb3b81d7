"""New items borrow scores from items with similar texts."""

from collections.abc import Sequence

import numpy as np
import pytest
from support.behavior_models import build_model
from support.clock import FakeClock
from support.item_indexes import create_item_index

from service.domain.items import Change
from service.domain.vectors import Keys, Vectors
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.recommend.new_items import (
    LENT_SHARE,
    MAX_SEARCHES_PER_ITEM,
    NEIGHBOR_COUNT,
    SEARCHES_PER_ROUND,
    NewItems,
)

DIMENSIONS = 4
NAMES = [f"i{number:03}" for number in range(2 * NEIGHBOR_COUNT)]
MODEL = build_model([NAMES] * 3)
BASE = -0.25


def near(side: int, number: int) -> Vectors:
    """Return a vector near one of the axes."""
    vector = np.random.default_rng(number).normal(size=DIMENSIONS) / 100
    vector[side] += 1
    unit: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def build_index() -> ItemIndex:
    """Return an index whose learned items are near the first axis, then near the second."""
    return create_item_index(
        {name: near(number // NEIGHBOR_COUNT, number) for number, name in enumerate(NAMES)}
    )


def add(item_index: ItemIndex, item_id: str, *vectors: Vectors) -> None:
    change = Change(item_id, "{}", tuple(vector.tobytes() for vector in vectors), None)
    item_index.apply([change], item_index.sequence + 1)


def remove(item_index: ItemIndex, item_id: str) -> None:
    item_index.apply([Change(item_id, None, (), None)], item_index.sequence + 1)


def update(new_items: NewItems, item_index: ItemIndex, new_ids: Sequence[str]) -> int:
    """Search for all neighbors; return the number of rounds."""
    rounds = 1
    while new_items.update(item_index, MODEL, new_ids):
        rounds += 1
    return rounds


def lend(new_items: NewItems, item_index: ItemIndex, boost: float = 1.0) -> tuple[Keys, Vectors]:
    """Lend the scores of items near the second axis, which are 1 above the base."""
    scores = np.full(200, BASE, np.float32)
    scores[NEIGHBOR_COUNT : 2 * NEIGHBOR_COUNT] += 1
    return new_items.lend(item_index, scores, BASE, boost), scores


@pytest.mark.parametrize("boost", [0.5, 1.0, 10.0])
def test_an_item_gets_what_similar_items_have(boost: float) -> None:
    """New items get the mean score of the learned items with similar texts, times the boost."""
    item_index, new_items = build_index(), NewItems()
    add(item_index, "first", near(0, 900))
    add(item_index, "second", near(1, 901), near(3, 902))
    assert 2 == update(new_items, item_index, ["second", "first", "missing"])
    keys, scores = lend(new_items, item_index, boost)
    second = item_index.find_key("second")
    assert [second] == keys.tolist()
    assert LENT_SHARE * boost == pytest.approx(float(scores[second]) - BASE, rel=1e-5)
    assert BASE == scores[item_index.find_key("first")]


def test_rounds_end_with_all_neighbors() -> None:
    """Many new items take several rounds, and until the last one the former lists are used."""
    item_index, new_items = build_index(), NewItems()
    names = [f"new {number}" for number in range(2 * SEARCHES_PER_ROUND + 2)]
    for number, name in enumerate(names):
        add(item_index, name, near(1, 900 + number))
    update(new_items, item_index, names[:1])
    assert new_items.update(item_index, MODEL, names)
    assert 1 == len(lend(new_items, item_index)[0])
    assert 3 == update(new_items, item_index, names)
    keys = {item_index.find_key(name) for name in names}
    assert keys == set(lend(new_items, item_index)[0].tolist())
    assert 2 == update(new_items, item_index, [*names, NAMES[0]])
    assert 1 == update(new_items, item_index, names[:3])
    assert 3 == len(lend(new_items, item_index)[0])


def test_a_round_has_a_bounded_number_of_searches() -> None:
    """Items of many passages are searched for with some of them, and fewer share a round."""
    item_index, new_items = build_index(), NewItems()
    items_per_round = -(-SEARCHES_PER_ROUND // MAX_SEARCHES_PER_ITEM)
    names = [f"long {number}" for number in range(2 * items_per_round)]
    for number, name in enumerate(names):
        add(item_index, name, *(near(number % 2, 900 + passage) for passage in range(50)))
    assert 3 == update(new_items, item_index, names)
    keys = {item_index.find_key(name) for name in names[1::2]}
    assert keys == set(lend(new_items, item_index)[0].tolist())


def test_a_key_of_another_item_gets_nothing() -> None:
    """Once a new item is deleted, pending or replaced, its key gets no score of it."""
    for text in ("gone", "reused", "pending", "reused by a pending item"):
        item_index, new_items = build_index(), NewItems()
        add(item_index, "new", near(1, 900))
        update(new_items, item_index, ["new"])
        assert 1 == len(lend(new_items, item_index)[0])
        if text == "pending":
            add(item_index, "new")
        else:
            remove(item_index, "new")
        if text == "reused":
            add(item_index, "other", near(0, 901))
        if text == "reused by a pending item":
            add(item_index, "other")
        keys, scores = lend(new_items, item_index)
        assert [] == keys.tolist()
        assert set(scores[2 * NEIGHBOR_COUNT :].tolist()) == {BASE}
        update(new_items, item_index, ["new"])
        assert [] == lend(new_items, item_index)[0].tolist()


def test_another_item_does_not_stop_the_lending() -> None:
    """While other items are written, a new item goes on to borrow."""
    item_index, new_items = build_index(), NewItems()
    add(item_index, "new", near(1, 900))
    update(new_items, item_index, ["new"])
    remove(item_index, NAMES[0])
    add(item_index, "other", near(0, 901))
    assert [item_index.find_key("new")] == lend(new_items, item_index)[0].tolist()


def test_lists_belong_to_one_index() -> None:
    """With another index nothing is lent, until its items have neighbors."""
    first, second, new_items = build_index(), build_index(), NewItems()
    for item_index in (first, second):
        add(item_index, "new", near(1, 900))
    update(new_items, first, ["new"])
    assert [] == lend(new_items, second)[0].tolist()
    new_ids = ["new"]
    assert new_items.update(second, MODEL, new_ids)
    assert [] == lend(new_items, second)[0].tolist()
    assert not new_items.update(second, MODEL, new_ids)
    assert 1 == len(lend(new_items, second)[0])


def test_without_learned_items_nothing_is_lent() -> None:
    """In a catalog whose learned items are all gone, new items keep the base."""
    new_items = NewItems()
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    assert 1 == update(new_items, item_index, [])
    assert [] == new_items.lend(item_index, np.zeros(0, np.float32), 0.0, 1.0).tolist()
    add(item_index, "new", near(1, 900))
    update(new_items, item_index, ["new"])
    scores = np.full(5, BASE, np.float32)
    assert [] == new_items.lend(item_index, scores, BASE, 1.0).tolist()


def test_a_training_finds_other_neighbors() -> None:
    """After a training, new items borrow from what is learned now."""
    item_index, new_items = build_index(), NewItems()
    add(item_index, "new", near(1, 900))
    model = build_model([NAMES[:NEIGHBOR_COUNT]] * 3)
    ids = ["new"]
    while new_items.update(item_index, model, ids):
        pass
    assert [] == lend(new_items, item_index)[0].tolist()
    update(new_items, item_index, ["new"])
    assert 1 == len(lend(new_items, item_index)[0])
