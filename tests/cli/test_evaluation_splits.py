import random
from collections.abc import Callable, Sequence

import pytest

from service.cli.evaluation_splits import (
    LikeLists,
    LikeSplit,
    TimedLike,
    choose_evenly,
    choose_new_items,
    cut_in_time,
    hide_newest,
    remove_items,
    shuffle_order,
)


def make_likes(item_ids: str, times_us: Sequence[int] | None = None) -> list[TimedLike]:
    """Return the likes of one person."""
    times = range(len(item_ids)) if times_us is None else times_us
    return [TimedLike(item_id, time) for item_id, time in zip(item_ids, times, strict=True)]


def make_people(count: int) -> LikeLists:
    """Return random likes with many equal times."""
    rng = random.Random(3)
    return {
        f"user {number}": make_likes(
            "".join(rng.sample("abcdefghijklmnopqrstuvwxyz", size)),
            sorted(rng.choices(range(30), k=size)),
        )
        for number, size in enumerate(rng.choices(range(1, 20), k=count))
    }


@pytest.mark.parametrize(
    ("item_ids", "hidden"),
    [("abcd", ""), ("abcde", "e"), ("abcdefghi", "i"), ("abcdefghij", "ij")],
)
def test_the_newest_fifth_is_hidden(item_ids: str, hidden: str) -> None:
    """The newest fifth is hidden, at least one like, and nothing of people with few likes."""
    split = hide_newest({"ann": make_likes(item_ids)})
    assert make_likes(item_ids[: len(item_ids) - len(hidden)]) == split.visible["ann"]
    assert ({"ann": set(hidden)} if hidden else {}) == split.hidden


@pytest.mark.parametrize("split_likes", [hide_newest, cut_in_time])
def test_a_split_loses_nothing(split_likes: Callable[[LikeLists], LikeSplit]) -> None:
    """Each like is either visible or hidden, and the visible ones keep their order."""
    likes = make_people(60)
    split = split_likes(likes)
    for user_id, person_likes in likes.items():
        visible = list(split.visible.get(user_id, []))
        assert visible == person_likes[: len(visible)]
        rest = {like.item_id for like in person_likes[len(visible) :]}
        assert rest == split.hidden.get(user_id, frozenset())


def test_a_cut_separates_past_and_future() -> None:
    """Everything before one time is visible to all, and about a fifth of all likes comes after."""
    likes = make_people(300)
    split = cut_in_time(likes)
    assert split.cut_time_us is not None
    times = [like.time_us for person_likes in split.visible.values() for like in person_likes]
    assert max(times) < split.cut_time_us
    total = sum(map(len, likes.values()))
    hidden_count = sum(map(len, split.hidden.values()))
    assert total == hidden_count + len(times)
    assert 0.15 * total < hidden_count <= 0.2 * total


def test_likes_of_one_time_stay_together() -> None:
    """Likes at the time of the cut are all visible, unless nothing comes after them."""
    split = cut_in_time({"ann": make_likes("abcdef", [0, 1, 2, 2, 2, 3])})
    assert ({"ann": frozenset("f")}, 3) == (dict(split.hidden), split.cut_time_us)
    split = cut_in_time({"ann": make_likes("abcdef", [0, 1, 2, 2, 2, 2])})
    assert ({"ann": frozenset("cdef")}, 2) == (dict(split.hidden), split.cut_time_us)


def test_people_can_be_on_one_side_of_a_cut() -> None:
    """People whose likes are all before or all after the cut are on one side only."""
    likes = {"old": make_likes("abcdefgh"), "new": make_likes("ab", [8, 9])}
    split = cut_in_time(likes)
    assert ({"old"}, {"new"}) == (set(split.visible), set(split.hidden))


@pytest.mark.parametrize("likes", [{}, {"ann": make_likes("ab", [5, 5])}])
def test_a_cut_needs_times(likes: LikeLists) -> None:
    """Likes without different times cannot be cut."""
    with pytest.raises(ValueError, match="different times"):
        cut_in_time(likes)


def test_only_the_order_is_shuffled() -> None:
    """Each person keeps the items and the times; the seed determines the order."""
    likes = make_people(50)
    shuffled = shuffle_order(likes, 1)
    assert list(likes) == list(shuffled)
    for user_id, person_likes in likes.items():
        assert [like.time_us for like in person_likes] == [
            like.time_us for like in shuffled[user_id]
        ]
        assert {like.item_id for like in person_likes} == {
            like.item_id for like in shuffled[user_id]
        }
    assert likes != shuffled
    assert shuffled == shuffle_order(likes, 1)
    assert shuffled != shuffle_order(likes, 2)


def test_new_items_have_no_likes() -> None:
    """A share of the liked items is chosen by the seed, and their likes can be removed."""
    likes = make_people(50)
    chosen = choose_new_items(likes, 0.25, 1)
    assert 6 == len(chosen)
    assert chosen == choose_new_items(likes, 0.25, 1)
    assert chosen != choose_new_items(likes, 0.25, 2)
    rest = remove_items(likes, chosen)
    remaining = {like.item_id for person_likes in rest.values() for like in person_likes}
    assert set("abcdefghijklmnopqrstuvwxyz") - chosen == remaining
    assert {} == remove_items({"ann": make_likes("ab")}, frozenset("abc"))


def test_values_are_chosen_evenly() -> None:
    """Chosen values have even distances; all are chosen if there are too few."""
    assert [0, 2, 5, 7] == choose_evenly(range(10), 4)
    assert [0, 1, 2] == choose_evenly(range(3), 50)
