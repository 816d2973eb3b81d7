"""The likes of a catalog by item, and what stands around each in its person's history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.recommend.collaborative.histories import Floats, Histories, Offsets, to_offsets
from service.recommend.collaborative.sparse_rows import Numbers, expand_ranges

# Two likes make a pair if at most this many places lie between them.
WINDOW = 100


@dataclass(frozen=True, slots=True)
class WindowPlaces:
    """Places around likes, one entry a place; the place of the like itself is one of them.

    Attributes:
        items: int64 [places]: the items at these places.
        distances: int64 [places]: how far after the like the place is; below 0 if it is before.
        strengths: float32 [places]: the geometric mean of the weights of both likes, or None if all
            likes weigh 1.
    """

    items: Numbers
    distances: Numbers
    strengths: Floats | None

    def select(self, entries: slice | Numbers) -> WindowPlaces:
        """Return the places of these entries."""
        strengths = None if self.strengths is None else self.strengths[entries]
        return WindowPlaces(self.items[entries], self.distances[entries], strengths)


class ItemLikes:
    """The likes of a catalog, grouped by item.

    Args:
        likes: histories as `select_likes` makes them.

    Attributes:
        item_count: the number of items.
        offsets: int64 [items + 1]: where the likes of each item begin and end.
        totals: float32 [items]: the sum of the weights of the item's likes.
        place_offsets: int64 [likes + 1]: where the places around each like begin and end, if the
            places of all likes are listed.
    """

    def __init__(self, likes: Histories) -> None:
        self.item_count = likes.item_count
        self.offsets: Offsets = to_offsets(np.bincount(likes.items, minlength=likes.item_count))
        totals = np.bincount(likes.items, weights=likes.weights, minlength=likes.item_count)
        self.totals: Floats = totals.astype(np.float32)
        self._items = likes.items
        self._roots = None if (likes.weights == 1).all() else np.sqrt(likes.weights)
        self._events = np.argsort(likes.items, kind="stable").astype(np.int32)
        counts = np.diff(likes.offsets)
        numbers = np.arange(len(likes.items))
        before = np.minimum(numbers - np.repeat(likes.offsets[:-1], counts), WINDOW)
        after = np.minimum(np.repeat(likes.offsets[1:], counts) - 1 - numbers, WINDOW)
        self._before = before[self._events].astype(np.int16)
        self.place_offsets: Offsets = to_offsets((before + after)[self._events] + 1)

    def list_places(self, first: int, last: int) -> WindowPlaces:
        """Return the places around the likes from first to last in the order of items."""
        events = self._events[first:last].astype(np.int64)
        counts = np.diff(self.place_offsets[first : last + 1])
        places = expand_ranges(events - self._before[first:last], counts)
        strengths = None
        if self._roots is not None:
            strengths = self._roots[places] * np.repeat(self._roots[events], counts)
        distances = places - np.repeat(events, counts)
        return WindowPlaces(self._items[places].astype(np.int64), distances, strengths)
