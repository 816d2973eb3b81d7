"""Items of an index whose vectors callers gave."""

import random

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS, unit_vector

from service.domain.filters import Condition, Equals, Filter
from service.domain.items import Change
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex, ItemIndexState

RED = Filter(all=(Condition("red", Equals(True)),))


def change(item_id: str, *, own: bool, red: bool = False) -> Change:
    """An item with a vector."""
    attributes = '{"red": true}' if red else "{}"
    vectors = (unit_vector(item_id).tobytes(),)
    return Change(item_id, attributes, vectors, None, has_own_vectors=own)


def find_text_items(item_index: ItemIndex, filter_: Filter | None = None) -> set[str] | None:
    """Return the ids in the mask of items with the vectors of their texts; None without a mask."""
    mask = item_index.compute_text_vector_mask(filter_, ())
    return None if mask is None else {*item_index.get_ids(np.flatnonzero(mask).tolist())}


def restore(state: ItemIndexState) -> ItemIndex:
    """Return an item index with a captured state."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    item_index.restore(state, {})
    return item_index


@pytest.mark.parametrize("seed", range(5))
def test_masks_follow_every_change(seed: int) -> None:
    """Whatever is written, deleted or restored, a mask has the items with vectors of texts."""
    choices = random.Random(seed)
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    expected: dict[str, tuple[bool, bool]] = {}
    for sequence in range(1, 60):
        changes = []
        for number in choices.sample(range(12), choices.randrange(4)):
            item_id = f"i{number}"
            own, red = choices.random() < 0.3, choices.random() < 0.5
            if choices.random() < 0.4:
                expected.pop(item_id, None)
                changes.append(Change(item_id, None, (), None))
            else:
                expected[item_id] = (own, red)
                changes.append(change(item_id, own=own, red=red))
        item_index.apply(changes, sequence)
        if choices.random() < 0.2:
            item_index = restore(item_index.capture())
        text_items = {item_id for item_id, (own, _) in expected.items() if not own}
        if len(text_items) == len(expected):
            assert find_text_items(item_index) is None
        else:
            assert text_items == find_text_items(item_index)
            red_items = {item_id for item_id in text_items if expected[item_id][1]}
            assert red_items == find_text_items(item_index, RED)


def test_masks_leave_out_excluded_keys() -> None:
    """Excluded items are in no mask."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    item_index.apply([change(name, own=name == "a") for name in "abc"], 3)
    mask = item_index.compute_text_vector_mask(None, item_index.find_keys(["b"]))
    assert mask is not None
    assert item_index.find_keys(["c"]) == np.flatnonzero(mask).tolist()


def test_an_index_from_a_former_snapshot_says_so() -> None:
    """A snapshot without the keys differs from one of items without such vectors."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    item_index.apply([change(name, own=False) for name in "ab"], 2)
    state = item_index.capture()
    assert not restore(state).lacks_own_vector_keys
    arrays = {name: array for name, array in state.arrays.items() if name != "own_vector_keys"}
    lacking = restore(state._replace(arrays=arrays))
    assert lacking.lacks_own_vector_keys
    lacking.add_own_vector_keys(["b", "gone"])
    assert not lacking.lacks_own_vector_keys
    assert {"a"} == find_text_items(lacking)
