import json

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS, unit_vector

from service.domain.items import Change
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.recommend.attribute_prior import AttributePrior


def create_rated_index(*ratings: object) -> ItemIndex:
    """Return an item index of items with these ratings; None is an item without a rating."""
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


def compute_bonuses(prior: AttributePrior, item_index: ItemIndex) -> list[float]:
    keys = [item_index.find_key(f"i{number}") for number in range(len(item_index))]
    return [float(bonus) for bonus in prior.compute_bonuses(item_index, np.array(keys, np.int64))]


def test_the_bonus_depends_on_the_rank() -> None:
    """The lowest value gets minus half the weight, and the highest plus half of it."""
    bonuses = compute_bonuses(
        AttributePrior("rating", 0.4), create_rated_index(*[float(n) for n in range(101)])
    )
    assert sorted(bonuses) == bonuses
    assert pytest.approx([-0.2, 0.0, 0.2], abs=0.01) == [bonuses[0], bonuses[50], bonuses[100]]


def test_the_unit_does_not_matter() -> None:
    """Values a thousand times as large, or their squares, give the same bonuses."""
    values = np.random.default_rng(1).uniform(1, 9, 50)
    expected = compute_bonuses(AttributePrior("rating", 0.2), create_rated_index(*values.tolist()))
    for scaled in (values * 1_000, values**2):
        bonuses = compute_bonuses(
            AttributePrior("rating", 0.2), create_rated_index(*scaled.tolist())
        )
        assert pytest.approx(expected, abs=0.01) == bonuses


def test_an_item_without_a_number_gets_no_bonus() -> None:
    """Items without the attribute, or with a value that is no number, get no bonus."""
    assert [0.0, 0.0, 0.0] == compute_bonuses(
        AttributePrior("rating", 0.2), create_rated_index(None, "high", [5.0])
    )
    assert (
        0.0 == compute_bonuses(AttributePrior("rating", 0.2), create_rated_index(1.0, None, 5.0))[1]
    )


def test_equal_values_get_no_bonus() -> None:
    """If all items have the same value, none gets a bonus."""
    assert [0.0] * 5 == pytest.approx(
        compute_bonuses(AttributePrior("rating", 0.2), create_rated_index(*[7.0] * 5)), abs=1e-6
    )


def test_a_changed_value_counts_at_once() -> None:
    """An item whose value changes gets the bonus of the new value in the next query."""
    item_index, prior = (
        create_rated_index(*[float(n) for n in range(100)]),
        AttributePrior("rating", 0.2),
    )
    assert compute_bonuses(prior, item_index)[0] < -0.09
    rate(item_index, {0: 98.5})
    assert compute_bonuses(prior, item_index)[0] > 0.09


def test_new_items_change_the_ranks() -> None:
    """After many higher values are written, the item that was highest gets a negative bonus."""
    item_index, prior = (
        create_rated_index(*[float(n) for n in range(20)]),
        AttributePrior("rating", 0.2),
    )
    assert compute_bonuses(prior, item_index)[19] > 0.09
    rate(item_index, {number: 100.0 + number for number in range(20, 60)})
    assert compute_bonuses(prior, item_index)[19] < 0.0


def test_another_index_has_its_own_values() -> None:
    """Once another index is in use, its values count, even at the same sequence number."""
    prior = AttributePrior("rating", 0.2)
    ratings = [float(n) for n in range(100)]
    assert compute_bonuses(prior, create_rated_index(*ratings))[0] < -0.09
    assert compute_bonuses(prior, create_rated_index(*reversed(ratings)))[0] > 0.09
