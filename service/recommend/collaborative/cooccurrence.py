"""Counts which items people like together, and which come next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.recommend.collaborative.histories import Floats, Offsets
from service.recommend.collaborative.item_likes import WINDOW, ItemLikes, WindowPlaces
from service.recommend.collaborative.sparse_rows import Numbers, SparseRows, build_rows, join_rows

# A pair counts FAR_WEIGHT + (1 - FAR_WEIGHT) exp(-distance / NEAR_PLACES).
FAR_WEIGHT = 0.3
NEAR_PLACES = 40.0

# An item counts exp(-distance / NEXT_PLACES) as coming next, over the geometric mean of the likes
# of both items plus NEXT_SHRINKAGE.
NEXT_PLACES = 15.0
NEXT_SHRINKAGE = 5.0

# The strongest pairs of an item that are stored. Local ridge needs the pairs among its neighbors.
PAIR_LIMIT = 200

# The most items that are stored as coming next after an item.
NEXT_LIMIT = 100

# The places that are listed at once, about 50 MB.
BLOCK_PLACES = 1 << 20

NO_ENTRIES = (np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of a range of items, one row an item, the strongest first.

    Attributes:
        cooccurrence: float32, at most PAIR_LIMIT a row: how much people like both items.
        following: float32, at most NEXT_LIMIT a row: how much the column's item comes next.
    """

    cooccurrence: SparseRows
    following: SparseRows


@dataclass(frozen=True, slots=True)
class Partners:
    """The items that pair with one item, each once.

    Attributes:
        items: int64 [partners].
        near: float32 [partners]: how much people like both.
        following: float32 [partners]: how much the partner comes next.
    """

    items: Numbers
    near: Floats
    following: Floats


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Return the pairs of ranges of items, one range after the other."""
    return Pairs(
        join_rows([part.cooccurrence for part in parts]),
        join_rows([part.following for part in parts]),
    )


class PairCounter:
    """Counts the pairs of one item after the other.

    Sums over all partners lie in arrays [items], of which only the used entries are cleared:
    grouping partners by sorting takes four times as long.

    Args:
        item_likes: the likes of the catalog.
        min_people: a pair that fewer people have does not count.
    """

    def __init__(self, item_likes: ItemLikes, min_people: int) -> None:
        self._item_likes = item_likes
        self._min_people = min_people
        self._people = np.zeros(item_likes.item_count, np.int32)
        self._near = np.zeros(item_likes.item_count, np.float32)
        self._following = np.zeros(item_likes.item_count, np.float32)
        self._slots = np.zeros(item_likes.item_count, np.int64)
        self._ones = np.ones(BLOCK_PLACES, np.int32)
        distances = np.arange(-WINDOW, WINDOW + 1)
        near = FAR_WEIGHT + (1 - FAR_WEIGHT) * np.exp(-np.abs(distances) / NEAR_PLACES)
        following = np.where(distances > 0, np.exp(-distances / NEXT_PLACES), 0.0)
        self._near_weights = near.astype(np.float32)
        self._next_weights = following.astype(np.float32)

    def count(self, first: int, last: int) -> Pairs:
        """Return the pairs of the items from first to last."""
        offsets = self._item_likes.place_offsets[self._item_likes.offsets]
        blocks = split_blocks(offsets, first, last, BLOCK_PLACES)
        parts = [self._count_block(start, end) for start, end in blocks]
        return join_pairs([Pairs(build_rows([]), build_rows([])), *parts])

    def _count_block(self, first: int, last: int) -> Pairs:
        """Return the pairs of the items from first to last, whose places are listed at once."""
        near_rows, next_rows = [NO_ENTRIES] * (last - first), [NO_ENTRIES] * (last - first)
        totals = self._item_likes.totals
        for item, partners in self._iterate(first, last):
            roots = np.sqrt(totals[item] * totals[partners.items])
            shares = partners.following / (roots + np.float32(NEXT_SHRINKAGE))
            near_rows[item - first] = _select_strongest(partners.items, partners.near, PAIR_LIMIT)
            next_rows[item - first] = _select_strongest(partners.items, shares, NEXT_LIMIT)
        return Pairs(build_rows(near_rows), build_rows(next_rows))

    def _iterate(self, first: int, last: int) -> Iterator[tuple[int, Partners]]:
        """Yield each item that at least min_people like, with its partners."""
        offsets = self._item_likes.offsets
        ends = self._item_likes.place_offsets[offsets[first : last + 1]]
        ends = ends - ends[0]
        if ends[-1] > BLOCK_PLACES:
            yield first, self._sum_in_parts(first)
            return
        places = self._item_likes.list_places(offsets[first], offsets[last])
        like_counts = np.diff(offsets[first : last + 1])
        for row in np.flatnonzero(like_counts >= self._min_people).tolist():
            item_places = places.select(slice(ends[row], ends[row + 1]))
            yield first + row, self._sum(first + row, item_places)

    def _sum(self, item: int, places: WindowPlaces) -> Partners:
        """Return the partners at the places around an item's likes."""
        np.add.at(self._people, places.items, self._ones[: len(places.items)])
        self._people[item] = 0
        is_pair = self._people[places.items] >= self._min_people
        self._people[places.items] = 0
        places = places.select(np.flatnonzero(is_pair))
        self._add_weights(places)
        # Of the places with one item, the last keeps its number in the slot.
        numbers = np.arange(len(places.items))
        self._slots[places.items] = numbers
        items = places.items[self._slots[places.items] == numbers]
        partners = Partners(items, self._near[items], self._following[items])
        self._near[items] = self._following[items] = 0
        return partners

    def _sum_in_parts(self, item: int) -> Partners:
        """Return the partners of an item whose places do not fit into one block."""
        first, last = self._item_likes.offsets[item : item + 2]
        for start, end in split_blocks(self._item_likes.place_offsets, first, last, BLOCK_PLACES):
            places = self._item_likes.list_places(start, end)
            np.add.at(self._people, places.items, self._ones[: len(places.items)])
            self._add_weights(places)
        self._people[item] = 0
        items = np.flatnonzero(self._people >= self._min_people)
        partners = Partners(items, self._near[items], self._following[items])
        self._people.fill(0)
        self._near.fill(0)
        self._following.fill(0)
        return partners

    def _add_weights(self, places: WindowPlaces) -> None:
        numbers = places.distances + WINDOW
        near, following = self._near_weights[numbers], self._next_weights[numbers]
        if places.strengths is not None:
            near, following = near * places.strengths, following * places.strengths
        np.add.at(self._near, places.items, near)
        np.add.at(self._following, places.items, following)


def split_blocks(
    offsets: Offsets, first: int, last: int, block_size: int
) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows from first to last with at most block_size entries, or of one row.

    Args:
        offsets: int64 [rows + 1]: where the entries of each row begin and end.
        first: the first row.
        last: the row after the last.
        block_size: the most entries in a range of several rows.
    """
    start = int(first)
    while start < last:
        end = int(np.searchsorted(offsets, offsets[start] + block_size, side="right")) - 1
        end = min(max(end, start + 1), int(last))
        yield start, end
        start = end


def _select_strongest(items: Numbers, weights: Floats, limit: int) -> tuple[Numbers, Floats]:
    """Return the positive weights and their items, the largest first, at most limit."""
    if len(items) > 4 * limit:
        largest = np.argpartition(-weights, limit)[:limit]
        items, weights = items[largest], weights[largest]
    order = np.argsort(-weights, kind="stable")[:limit]
    order = order[: np.count_nonzero(weights[order])]
    return items[order], weights[order]
