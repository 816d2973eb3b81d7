from collections.abc import Sequence

import numpy as np
import pytest

from service.recommend.collaborative.popularity import (
    MAX_CACHED_RANKINGS,
    Popularity,
    sum_up_interactions,
)

# The person, the item, the weight, and the age in days.
Event = tuple[int, int, float, float]

FIFTY_YEARS = 18_262.0


def sum_up(events: Sequence[Event]) -> Popularity:
    people, items, weights, ages = zip(*events, strict=True) if events else ((), (), (), ())
    return Popularity(
        sum_up_interactions(
            np.array(people, np.int64),
            np.array(items, np.int32),
            np.array(weights, np.float32),
            np.array(ages, np.float64),
        )
    )


def rank(events: Sequence[Event], half_life_days: float = 30.0) -> dict[int, float]:
    """Return the popularity by item, the most popular item first."""
    items, scores = sum_up(events).rank(half_life_days)
    assert np.float32 == scores.dtype
    return dict(zip(items.tolist(), scores.tolist(), strict=True))


def test_an_interaction_counts_half_after_the_half_life() -> None:
    """Two interactions of the half-life's age count as one of now; the first item scores 1."""
    for half_life_days in (0.01, 1.0, 30.0, 36_500.0):
        events = [(0, 7, 1.0, 0.0), (1, 7, 1.0, 0.0), (2, 5, 1.0, half_life_days)]
        ranking = rank(events, half_life_days)
        assert [7, 5] == list(ranking)
        assert [1.0, 0.25] == pytest.approx(list(ranking.values()), rel=1e-3)


def test_weights_count() -> None:
    """A weight counts as it is, and dislikes count for nothing."""
    events = [(0, 1, 0.2, 1.0), (1, 2, 1.0, 1.0), (2, 3, -1.0, 1.0), (3, 2, -1.0, 1.0)]
    assert {2: 1.0, 1: pytest.approx(0.2)} == rank(events)


def test_one_person_counts_once_an_item() -> None:
    """However often a person does something, an item that two people like is more popular."""
    events = [(0, 1, 1.0, age / 10) for age in range(1_000)]
    events += [(1, 2, 1.0, 1.0), (2, 2, 1.0, 1.0)]
    assert [2, 1] == list(rank(events))
    assert [2, 1] == list(rank(events[::-1]))


def test_the_strongest_interaction_of_a_person_counts() -> None:
    """A view after a purchase does not undo it; of equal interactions the latest counts."""
    events = [(0, 1, 1.0, 60.0), (0, 1, 0.2, 0.0), (1, 2, 1.0, 90.0), (1, 2, 1.0, 30.0)]
    assert {2: 1.0, 1: pytest.approx(0.5, rel=1e-3)} == rank(events)
    assert {} == rank([(0, 1, -1.0, 5.0)])


def test_interactions_of_any_age_are_ranked() -> None:
    """Items whose interactions are all from 1970 are ranked as if they were new."""
    for age in (0.0, 1.0, 400.0, FIFTY_YEARS):
        events = [(person, item, 1.0, age) for item in range(4) for person in range(item + 1)]
        ranking = rank(events, 0.01)
        assert [3, 2, 1, 0] == list(ranking)
        assert [1.0, 0.75, 0.5, 0.25] == pytest.approx(list(ranking.values()), rel=1e-4)


def test_interactions_of_the_future_count_as_new() -> None:
    """A time that has not come yet makes nothing more popular than now does."""
    events = [(0, 1, 1.0, -1.0), (1, 2, 1.0, 0.0), (2, 2, 1.0, 0.0)]
    assert {2: 1.0, 1: 0.5} == rank(events)


def test_age_classes_lose_little() -> None:
    """Popularity differs by less than a tenth from a sum over all interactions."""
    rng = np.random.default_rng(1)
    ages = rng.exponential(60.0, 3_000)
    events = [(number, number % 5, 1.0, float(age)) for number, age in enumerate(ages)]
    exact = np.array([(0.5 ** (ages[item::5] / 20.0)).sum() for item in range(5)])
    ranking = rank(events, 20.0)
    assert ranking == pytest.approx(dict(enumerate(exact / exact.max())), rel=0.1)


def test_nothing_is_popular_without_interactions() -> None:
    """Without interactions the ranking is empty."""
    assert {} == rank([])


def test_many_half_lives_are_ranked() -> None:
    """More half-lives than are kept in memory are ranked right, in any order."""
    popularity = sum_up([(0, 1, 1.0, 0.0), (1, 2, 1.0, 10.0), (2, 2, 1.0, 10.0)])
    for half_life_days in [*range(1, 3 * MAX_CACHED_RANKINGS)] * 2:
        items, _ = popularity.rank(float(half_life_days))
        assert [1, 2] == sorted(items.tolist())
        assert (2 if half_life_days > 10 else 1) == items[0] or half_life_days == 10
