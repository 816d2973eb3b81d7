"""What people did, as arrays, and the part of it that a model learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Items = NDArray[np.int32]  # numbers of items, from 0 to item_count - 1
Offsets = NDArray[np.int64]  # [rows + 1]: where the entries of each row begin and end
Floats = NDArray[np.float32]

# The latest likes of a person that count. On the film likes, 100 find as much as all, and 50 find a
# tenth less.
MAX_LIKES = 500

# Rows of pairs pack an item's number into so many bits.
MAX_ITEMS = 1 << 24


@dataclass(frozen=True, slots=True)
class Histories:
    """What each person did, one row a person, oldest first, each item at most once in a row.

    Attributes:
        offsets: int64 [people + 1]: where the events of each person begin and end.
        items: int32 [events]: the numbers of the items.
        weights: float32 [events]: above 0 for a like, below 0 for a dislike.
        item_count: the number of items in the catalog.
    """

    offsets: Offsets
    items: Items
    weights: Floats
    item_count: int

    @property
    def people_count(self) -> int:
        """The number of people, including those without events."""
        return len(self.offsets) - 1

    def get_items(self, person: int) -> Items:
        """Return the items of a person, oldest first: int32 [events of the person]."""
        return self.items[self.offsets[person] : self.offsets[person + 1]]

    def get_weights(self, person: int) -> Floats:
        """Return the weights of a person's events: float32 [events of the person]."""
        return self.weights[self.offsets[person] : self.offsets[person + 1]]


def collect_histories(
    people: NDArray[np.int64], items: Items, weights: Floats, *, people_count: int, item_count: int
) -> Histories:
    """Return the histories in events that are in order of time, with each item once a person.

    Of several events of a person with one item, the one with the largest absolute weight decides
    how much the item counts, so that a view after a purchase does not undo the purchase. Among
    equals the latest decides, so that a dislike undoes a like. The item stands where its latest
    event does, because that shows the person's present interest.

    Args:
        people: int64 [events], from 0 to people_count - 1.
        items: int32 [events].
        weights: float32 [events], not 0.
        people_count: the number of people.
        item_count: the number of items in the catalog, at most MAX_ITEMS.

    Raises:
        ValueError: there are more items than MAX_ITEMS.
    """
    if item_count > MAX_ITEMS:
        raise ValueError(f"a model takes at most {MAX_ITEMS} items, not {item_count}")
    pairs = people * item_count + items
    order = np.lexsort((np.abs(weights), pairs))
    is_last = _mark_last(pairs[order])
    deciding = weights[order[is_last]]
    latest = np.maximum.reduceat(order, _find_starts(is_last)) if len(order) else order
    places = np.lexsort((latest, people[latest]))
    latest = latest[places]
    counts = np.bincount(people[latest], minlength=people_count)
    return Histories(to_offsets(counts), items[latest], deciding[places], item_count)


def select_likes(histories: Histories, max_likes: int = MAX_LIKES) -> Histories:
    """Return the latest likes of each person, with weights from above 0 to 1.

    Weights are divided by the person's largest, so that nobody counts more than anybody else, and a
    catalog with views alone learns as much as one with likes alone.
    """
    counts = np.diff(histories.offsets)
    people = np.repeat(np.arange(len(counts)), counts)
    is_like = histories.weights > 0
    people = people[is_like]
    like_counts = np.bincount(people, minlength=len(counts))
    ends = np.repeat(np.cumsum(like_counts), like_counts)
    is_recent = ends - np.arange(len(people)) <= max_likes
    people, items = people[is_recent], histories.items[is_like][is_recent]
    weights = histories.weights[is_like][is_recent]
    largest = np.zeros(len(counts), np.float32)
    np.maximum.at(largest, people, weights)
    offsets = to_offsets(np.bincount(people, minlength=len(counts)))
    return Histories(offsets, items, weights / largest[people], histories.item_count)


def to_offsets(counts: NDArray[np.int64]) -> Offsets:
    """Return where rows of these lengths begin and end: int64 [rows + 1]."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _mark_last(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether a value is the last of equal ones that follow each other."""
    is_last = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=is_last[:-1])
    return is_last


def _find_starts(is_last: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where each group begins, given where each ends."""
    ends = np.flatnonzero(is_last)
    return np.concatenate([[0], ends[:-1] + 1])
