"""Trains the model of a catalog from histories, and solves only what changed since the last time.

Everything runs in the calling thread. Limit the threads of the linear algebra library to 1 before:
its threads make the small systems of local ridge slower, not faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.recommend.collaborative.cooccurrence import PairCounter
from service.recommend.collaborative.histories import Floats, Histories, Items, select_likes
from service.recommend.collaborative.item_likes import ItemLikes
from service.recommend.collaborative.local_ridge import NEIGHBOR_LIMIT, RidgeSolver
from service.recommend.collaborative.row_changes import measure_changes
from service.recommend.collaborative.sparse_rows import (
    SparseRows,
    cut_rows,
    replace_rows,
    sum_rows,
    take_rows,
    transpose_strongest,
)

# A pair of items counts from this many people on, so that nobody's list shows in the model.
MIN_PEOPLE = 3

# The most items that one item speaks for. On the film and music likes, 100 and 200 are equal.
ROW_LIMIT = 100

# An item is solved again if its pairs, or the likes of its neighbors, changed by more than this
# share since it was solved.
CHANGE_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class CollaborativeModel:
    """What liking an item says about other items.

    Attributes:
        ridge: float16, one row an item: how much it says for other items, at most ROW_LIMIT.
        following: float16, one row an item: how much other items come next after it.
        totals: float32 [items]: the sum of the weights of each item's likes.
    """

    ridge: SparseRows
    following: SparseRows
    totals: Floats


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What the next training needs to solve only what changed: 10 bytes a neighbor.

    Attributes:
        columns: float16, one row an item: how much its neighbors say for it.
        pair_weights: float32, for the same entries: the pairs when the item was solved.
        neighbor_totals: float32 [items]: the likes of the item and its neighbors at that time.
    """

    columns: SparseRows
    pair_weights: Floats
    neighbor_totals: Floats

    @property
    def pairs(self) -> SparseRows:
        """The pairs of each item with its neighbors when it was solved."""
        return SparseRows(self.columns.offsets, self.columns.columns, self.pair_weights)


@dataclass(frozen=True, slots=True)
class Training:
    """A trained model, with what the next training needs.

    Attributes:
        model: the model.
        state: the state to pass to the next training.
        solved_count: how many items were solved.
    """

    model: CollaborativeModel
    state: TrainingState
    solved_count: int


def train(
    histories: Histories,
    state: TrainingState | None = None,
    *,
    changed_items: Items | None = None,
    min_people: int = MIN_PEOPLE,
    tolerance: float = CHANGE_TOLERANCE,
) -> Training:
    """Train a model: from nothing, or from the state of the training before.

    All pairs are counted each time, because that takes less time than finding out which changed.

    Args:
        histories: what people did. An item has the same number as in the training before; new items
            have higher numbers.
        state: the state of the training before, or None to solve all items.
        changed_items: int32: items to solve in any case, such as those of deleted interactions.
        min_people: a pair of items that fewer people have does not count.
        tolerance: how much may change before an item is solved again, as a share.
    """
    item_likes = ItemLikes(select_likes(histories))
    item_count, totals = item_likes.item_count, item_likes.totals
    counted = PairCounter(item_likes, min_people).count(0, item_count)
    pairs = cut_rows(counted.cooccurrence, NEIGHBOR_LIMIT)
    neighbor_totals = totals + sum_rows(pairs, totals[pairs.columns])
    former = _extend(state, item_count)
    is_changed = _find_changed(former, pairs, neighbor_totals, tolerance)
    if changed_items is not None:
        is_changed[changed_items] = True
    items = np.flatnonzero(is_changed)
    columns = RidgeSolver(counted.cooccurrence, totals).solve(items).round_weights()
    next_state = TrainingState(
        replace_rows(former.columns, items, columns),
        replace_rows(former.pairs, items, take_rows(pairs, items)).weights,
        np.where(is_changed, neighbor_totals, former.neighbor_totals),
    )
    ridge = transpose_strongest(next_state.columns, item_count, ROW_LIMIT)
    model = CollaborativeModel(ridge.round_weights(), counted.following.round_weights(), totals)
    return Training(model, next_state, int(np.count_nonzero(np.diff(pairs.offsets)[items])))


def _find_changed(
    former: TrainingState, pairs: SparseRows, neighbor_totals: Floats, tolerance: float
) -> NDArray[np.bool_]:
    """Return whether an item's pairs or the likes of its neighbors changed: bool [items]."""
    differences = np.abs(neighbor_totals - former.neighbor_totals)
    is_changed: NDArray[np.bool_] = differences > tolerance * neighbor_totals
    is_changed |= measure_changes(former.pairs, pairs) > tolerance
    return is_changed


def _extend(state: TrainingState | None, item_count: int) -> TrainingState:
    """Return the state with nothing for items that it does not have yet."""
    if state is None:
        empty = SparseRows(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float16))
        state = TrainingState(empty, np.zeros(0, np.float32), np.zeros(0, np.float32))
    columns, new_count = state.columns, item_count - state.columns.row_count
    offsets = np.pad(columns.offsets, (0, new_count), mode="edge")
    return TrainingState(
        SparseRows(offsets, columns.columns, columns.weights),
        state.pair_weights,
        np.pad(state.neighbor_totals, (0, new_count)),
    )
