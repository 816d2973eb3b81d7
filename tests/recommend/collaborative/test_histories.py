import numpy as np
import pytest
from support.item_lists import build_histories

from service.recommend.collaborative.histories import (
    MAX_ITEMS,
    Histories,
    collect_histories,
    select_likes,
)


def collect(events: list[tuple[int, int, float]], people_count: int = 3) -> Histories:
    people = np.array([person for person, _, _ in events], np.int64)
    items = np.array([item for _, item, _ in events], np.int32)
    weights = np.array([weight for _, _, weight in events], np.float32)
    return collect_histories(people, items, weights, people_count=people_count, item_count=10)


def rows(histories: Histories) -> list[list[tuple[int, float]]]:
    return [
        list(
            zip(
                histories.get_items(person).tolist(),
                histories.get_weights(person).tolist(),
                strict=True,
            )
        )
        for person in range(histories.people_count)
    ]


def test_events_are_grouped_by_person_in_their_order() -> None:
    """Each person has their own events in the order of time; a person without events has none."""
    histories = collect([(2, 7, 1), (0, 5, 1), (2, 1, 1), (0, 3, 1)])
    assert [[(5, 1), (3, 1)], [], [(7, 1), (1, 1)]] == rows(histories)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1.0, 0.125], 1.0),
        ([0.125, 1.0], 1.0),
        ([1.0, -1.0], -1.0),
        ([-1.0, 1.0], 1.0),
        ([-1.0, 0.125], -1.0),
        ([0.5, -0.25, 0.125], 0.5),
    ],
)
def test_strongest_event_with_an_item_decides(weights: list[float], expected: float) -> None:
    """The largest absolute weight counts, the latest among equals, at the place of the latest."""
    events = [(0, 4, weight) for weight in weights]
    histories = collect([*events[:-1], (0, 8, 1.0), events[-1]])
    assert [(8, 1.0), (4, expected)] == rows(histories)[0]


def test_no_events_give_empty_histories() -> None:
    """Without events, each person has an empty history and no likes."""
    histories = collect([])
    assert [[], [], []] == rows(histories) == rows(select_likes(histories))


def test_too_many_items_are_refused() -> None:
    """More items than rows can hold are an error."""
    nothing = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="at most"):
        collect_histories(
            nothing,
            nothing.astype(np.int32),
            nothing.astype(np.float32),
            people_count=0,
            item_count=MAX_ITEMS + 1,
        )


def test_likes_are_positive_recent_and_scaled_by_person() -> None:
    """Dislikes are dropped, the latest likes stay, and everybody's strongest like weighs 1."""
    histories = build_histories(
        [[1, 2, 3, 4, 5], [6, 7], [8]], 10, [[9, 2, -3, 1, 4], [0.5, 0.25], [-1]]
    )
    expected = [[(2, 0.5), (4, 0.25), (5, 1.0)], [(6, 1.0), (7, 0.5)], []]
    assert expected == rows(select_likes(histories, max_likes=3))
