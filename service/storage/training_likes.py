"""Reads what all people of a catalog did, for training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.interactions import InteractionType
from service.storage.database import ReadSource
from service.storage.sql import Connection

# Events that are collected in lists before they become arrays.
EVENTS_PER_BLOCK = 1 << 18

# The user, the item, the weight and the time of an event, in microseconds since 1970 UTC.
Event = tuple[str, str, float, int]

EventBlock = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class TrainingLikes:
    """What people did, of each person in order of time.

    Attributes:
        people: int64 [events], ascending, from 0.
        items: int32 [events]: positions in `item_ids`.
        weights: float32 [events], not 0.
        times_us: int64 [events]: in microseconds since 1970 UTC; liked items have the time of the
            last write of their user.
        item_ids: the ids of the items, whether they exist or not.
        catalog_item_count: the number of items in the catalog.
    """

    people: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times_us: NDArray[np.int64]
    item_ids: Sequence[str]
    catalog_item_count: int

    @property
    def people_count(self) -> int:
        """The number of people with events."""
        return int(self.people[-1]) + 1 if len(self.people) else 0


def read_training_likes(
    source: ReadSource, catalog_id: int, weights: Mapping[str, float], item_ids: Sequence[str]
) -> TrainingLikes:
    """Read the interactions and liked items of a catalog.

    The liked items of a user are older than the interactions of the user.

    Args:
        source: opens the database.
        catalog_id: the catalog.
        weights: of the types of interactions; those that are missing or 0 are left out.
        item_ids: ids that keep their positions; those of further items follow.

    Raises:
        StoreUnavailable: the database cannot be read.
    """
    with source.open() as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM items WHERE catalog_id = ? AND NOT deleted", (catalog_id,)
        ).fetchone()
        liked_items = _read_liked_items(connection, catalog_id, weights)
        interactions = _read_interactions(connection, catalog_id, weights)
        return _collect(_merge(liked_items, interactions), item_ids, count)


def _read_liked_items(
    connection: Connection, catalog_id: int, weights: Mapping[str, float]
) -> Iterator[Event]:
    """Yield the liked and disliked items of users, by ascending user id."""
    like = weights.get(InteractionType.LIKE, 0.0)
    dislike = weights.get(InteractionType.DISLIKE, 0.0)
    rows = connection.execute(
        """SELECT user_id, liked_items, update_time_us FROM users
           WHERE catalog_id = ? AND liked_items <> '[]' ORDER BY user_id""",
        (catalog_id,),
    )
    for user_id, liked_items, time_us in rows:
        for item_id, weight in json.loads(liked_items):
            yield user_id, item_id, weight * (like if weight > 0 else -dislike), time_us


def _read_interactions(
    connection: Connection, catalog_id: int, weights: Mapping[str, float]
) -> Iterator[Event]:
    """Yield the interactions, by ascending user id and time."""
    rows = connection.execute(
        """SELECT user_id, item_id, type, time_us FROM interactions
           WHERE catalog_id = ? ORDER BY user_id, time_us, item_id, type, interaction_id""",
        (catalog_id,),
    )
    for user_id, item_id, type_, time_us in rows:
        yield user_id, item_id, weights.get(type_, 0.0), time_us


def _merge(first: Iterator[Event], second: Iterator[Event]) -> Iterator[Event]:
    """Yield the events of both by ascending user id, for each user those of `first` before."""
    left, right = next(first, None), next(second, None)
    while left is not None or right is not None:
        # The databases order ids by their UTF-8 bytes, which is the order of their code points.
        if right is None or (left is not None and left[0] <= right[0]):
            assert left is not None  # noqa: S101  (one of the two is left)
            yield left
            left = next(first, None)
        else:
            yield right
            right = next(second, None)


def _collect(
    events: Iterator[Event], known_ids: Sequence[str], catalog_item_count: int
) -> TrainingLikes:
    """Return events as arrays."""
    numbers = {item_id: number for number, item_id in enumerate(known_ids)}
    blocks: list[EventBlock] = []
    block: list[tuple[int, int, float, int]] = []
    person, last_user_id = -1, None
    for user_id, item_id, weight, time_us in events:
        if not weight:
            continue
        if user_id != last_user_id:
            person, last_user_id = person + 1, user_id
        number = numbers.setdefault(item_id, len(numbers))
        block.append((person, number, weight, time_us))
        if len(block) == EVENTS_PER_BLOCK:
            blocks.append(_to_arrays(block))
            block = []
    blocks.append(_to_arrays(block))
    people, items, weights, times_us = (
        np.concatenate(parts) for parts in zip(*blocks, strict=True)
    )
    return TrainingLikes(people, items, weights, times_us, list(numbers), catalog_item_count)


def _to_arrays(block: Sequence[tuple[int, int, float, int]]) -> EventBlock:
    people, items, weights, times_us = zip(*block, strict=True) if block else ((), (), (), ())
    return (
        np.array(people, np.int64),
        np.array(items, np.int32),
        np.array(weights, np.float32),
        np.array(times_us, np.int64),
    )
