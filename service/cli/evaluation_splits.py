"""Splits of likes for an evaluation: a part is visible to the server, the other one is to predict.

The likes of a person are in order of time. Nothing here depends on anything but its arguments.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from service.domain.interactions import InteractionType
from service.recommend.collaborative.blend_validation import HIDDEN_SHARE, MIN_LIKES

Element = TypeVar("Element")


class TimedLike(NamedTuple):
    """A like of a person; `time_us` is in microseconds since 1970."""

    item_id: str
    time_us: int
    type: str = InteractionType.LIKE.value


# The likes of each person by user id, oldest first, each item at most once.
LikeLists = Mapping[str, Sequence[TimedLike]]


@dataclass(frozen=True, slots=True)
class LikeSplit:
    """Likes in two parts.

    Attributes:
        visible: the likes that the server learns from; people without any are left out.
        hidden: the items that each person liked later; people without any are left out.
        cut_time_us: all hidden likes are from this time on; None without a common time.
    """

    visible: LikeLists
    hidden: Mapping[str, frozenset[str]]
    cut_time_us: int | None = None


def hide_newest(likes: LikeLists, share: float = HIDDEN_SHARE) -> LikeSplit:
    """Hide the newest likes of each person who has at least MIN_LIKES, and at least one of them.

    The server hides the same share when it validates what it has learned.
    """
    visible: dict[str, Sequence[TimedLike]] = {}
    hidden: dict[str, frozenset[str]] = {}
    for user_id, person_likes in likes.items():
        hidden_count = max(int(share * len(person_likes)), 1)
        if len(person_likes) < MIN_LIKES:
            visible[user_id] = person_likes
            continue
        visible[user_id] = person_likes[:-hidden_count]
        hidden[user_id] = frozenset(like.item_id for like in person_likes[-hidden_count:])
    return LikeSplit(visible, hidden)


def cut_in_time(likes: LikeLists, share: float = HIDDEN_SHARE) -> LikeSplit:
    """Hide all likes from one time on, at which about `share` of all likes begin.

    Unlike `hide_newest`, nobody's visible likes are later than anybody's hidden ones, as when a
    server predicts the future. Likes of one time stay together, so that a smaller share is hidden
    if many likes have the time of the cut.

    Raises:
        ValueError: all likes have the same time, or there are none.
    """
    times = sorted(like.time_us for person_likes in likes.values() for like in person_likes)
    if not times or times[0] == times[-1]:
        raise ValueError("a cut in time needs likes of different times")
    position = min(math.ceil((1 - share) * len(times)), len(times) - 1)
    cut_us = times[position]
    if times[position - 1] == cut_us:
        cut_us = next((time for time in times[position:] if time > cut_us), cut_us)
    visible: dict[str, Sequence[TimedLike]] = {}
    hidden: dict[str, frozenset[str]] = {}
    for user_id, person_likes in likes.items():
        if before := [like for like in person_likes if like.time_us < cut_us]:
            visible[user_id] = before
        if after := frozenset(like.item_id for like in person_likes if like.time_us >= cut_us):
            hidden[user_id] = after
    return LikeSplit(visible, hidden, cut_us)


def shuffle_order(likes: LikeLists, seed: int = 0) -> LikeLists:
    """Return the likes with the items of each person in a random order, at the same times.

    The difference that this makes to recommendations is what they owe to the order of the lists.
    """
    rng = random.Random(seed)  # noqa: S311  (not for security)
    return {
        user_id: [
            like._replace(item_id=item_id)
            for like, item_id in zip(
                person_likes,
                rng.sample([like.item_id for like in person_likes], len(person_likes)),
                strict=True,
            )
        ]
        for user_id, person_likes in likes.items()
    }


def choose_new_items(likes: LikeLists, share: float, seed: int = 0) -> frozenset[str]:
    """Return a random share of the liked items, to be treated as new ones without likes."""
    rng = random.Random(seed)  # noqa: S311  (not for security)
    liked = sorted({like.item_id for person_likes in likes.values() for like in person_likes})
    return frozenset(rng.sample(liked, round(share * len(liked))))


def remove_items(likes: LikeLists, item_ids: frozenset[str]) -> LikeLists:
    """Return the likes without those of some items; people without others are left out."""
    rest = {
        user_id: [like for like in person_likes if like.item_id not in item_ids]
        for user_id, person_likes in likes.items()
    }
    return {user_id: person_likes for user_id, person_likes in rest.items() if person_likes}


def choose_evenly(values: Sequence[Element], number: int) -> list[Element]:
    """Return `number` values at even distances, or all values if there are fewer."""
    number = min(number, len(values))
    return [values[position * len(values) // number] for position in range(number)]
