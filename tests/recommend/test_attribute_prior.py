import json

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS, unit_vector

from service.domain.items import Change
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.recommend.attribute_prior import AttributePrior


def view_of(*ratings: object) -> ItemIndex:
    """An item index of items with these ratings; None stands for an item without."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    rate(item_index, dict(enumerate(ratings)))
    return item_index


def rate(item_index: ItemIndex, ratings: dict[int, object]) -> None:
    changes = [
        Change(
            f"i{number}",
            json.dumps({} if rating is None else {"rating": rating}),
            (unit_vector(f"text {number}").tobytes(),),
            None,
        )
        for number, rating in ratings.items()
    ]
    item_index.apply(changes, item_index.sequence + len(changes))


def lifts(prior: AttributePrior, item_index: ItemIndex) -> list[float]:
    keys = [item_index.find_key(f"i{number}") for number in range(len(item_index))]
    return [float(each) for each in prior.compute_bonuses(item_index, np.array(keys, np.int64))]


def test_items_are_lifted_by_their_place() -> None:
    """The lowest value is lowered by half the weight, the highest lifted by as much."""
    found = lifts(AttributePrior("rating", 0.4), view_of(*[float(n) for n in range(101)]))
    assert sorted(found) == found
    assert pytest.approx([-0.2, 0.0, 0.2], abs=0.01) == [found[0], found[50], found[100]]


def test_the_unit_does_not_matter() -> None:
    """Values a thousand times as large, or their squares, lift as much."""
    values = np.random.default_rng(1).uniform(1, 9, 50)
    expected = lifts(AttributePrior("rating", 0.2), view_of(*values.tolist()))
    for same in (values * 1_000, values**2):
        found = lifts(AttributePrior("rating", 0.2), view_of(*same.tolist()))
        assert pytest.approx(expected, abs=0.01) == found


def test_an_item_without_a_number_stays_where_it_is() -> None:
    """Without the attribute, or with something else than a number, nothing is added."""
    assert [0.0, 0.0, 0.0] == lifts(AttributePrior("rating", 0.2), view_of(None, "high", [5.0]))
    assert 0.0 == lifts(AttributePrior("rating", 0.2), view_of(1.0, None, 5.0))[1]


def test_equal_values_are_lifted_equally() -> None:
    """Where all have one value none is preferred."""
    assert [0.0] * 5 == pytest.approx(
        lifts(AttributePrior("rating", 0.2), view_of(*[7.0] * 5)), abs=1e-6
    )


def test_a_write_counts_at_once() -> None:
    """An item whose value changes has the lift of the new one in the next answer."""
    item_index, prior = view_of(*[float(n) for n in range(100)]), AttributePrior("rating", 0.2)
    assert lifts(prior, item_index)[0] < -0.09
    rate(item_index, {0: 98.5})
    assert lifts(prior, item_index)[0] > 0.09


def test_new_items_move_the_places() -> None:
    """Once many higher values have come, what was highest no longer is."""
    item_index, prior = view_of(*[float(n) for n in range(20)]), AttributePrior("rating", 0.2)
    assert lifts(prior, item_index)[19] > 0.09
    rate(item_index, {number: 100.0 + number for number in range(20, 60)})
    assert lifts(prior, item_index)[19] < 0.0
