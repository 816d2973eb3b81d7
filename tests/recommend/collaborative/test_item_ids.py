from collections.abc import Sequence

import numpy as np
import pytest

from service.recommend.collaborative.item_ids import NO_ITEM, ItemIds, to_arrays

ODD_IDS = [
    "\u00e9",
    "e\u0301",
    "\U0001f600",
    "\u202eabc",
    "a",
    "a ",
    "A",
    "z" * 256,
    "\ufeff",
    "a\u0000b",
]


@pytest.mark.parametrize("ids", [[], ["one"], ODD_IDS, [f"i{n}" for n in range(5_000)]])
def test_ids_and_numbers_lead_to_each_other(ids: Sequence[str]) -> None:
    """Each id has its number, whatever its characters; unknown ids have none."""
    item_ids = ItemIds(to_arrays(ids))
    assert len(ids) == len(item_ids)
    assert list(ids) == item_ids.list_all()
    numbers = item_ids.find([*reversed(ids), "unknown", "", "\u00e9 "])
    assert [*reversed(range(len(ids))), NO_ITEM, NO_ITEM, NO_ITEM] == numbers.tolist()
    assert np.int32 == numbers.dtype


def test_ids_with_the_same_hash_stay_apart() -> None:
    """Ids are compared themselves, so that equal hashes confuse none."""
    arrays = to_arrays(ODD_IDS)
    same = int(ItemIds(arrays).find(["a"])[0])
    place = arrays["id_numbers"].tolist().index(same)
    colliding = {
        **arrays,
        "id_hashes": np.full(len(ODD_IDS), arrays["id_hashes"][place], np.uint64),
    }
    item_ids = ItemIds(colliding)
    assert [same] == item_ids.find(["a"]).tolist()
    assert [NO_ITEM] == item_ids.find(["unknown"]).tolist()


@pytest.mark.parametrize("name", ["ids", "id_offsets", "id_hashes", "id_numbers"])
def test_damaged_ids_are_refused(name: str) -> None:
    """An array that is missing or too short does not make ids."""
    arrays = to_arrays(ODD_IDS)
    with pytest.raises(ValueError, match="must"):
        ItemIds({**arrays, name: arrays[name][:-1]})
    del arrays[name]
    with pytest.raises(KeyError):
        ItemIds(arrays)


def test_numbers_beyond_the_ids_are_refused() -> None:
    """A number of no item does not make ids."""
    arrays = to_arrays(ODD_IDS)
    for number in (-1, len(ODD_IDS)):
        numbers = arrays["id_numbers"].copy()
        numbers[3] = number
        with pytest.raises(ValueError, match="must"):
            ItemIds({**arrays, "id_numbers": numbers})
