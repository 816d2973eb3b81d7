"""Lends new items, which a model says nothing about, the scores of items with similar texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Mask, Vectors
from service.index.item_index import ItemIndex
from service.recommend.behavior_model import BehaviorModel

# The nearest learned items that lend their scores.
NEIGHBOR_COUNT = 40

# The most new items that get neighbors: 32 MB. In larger catalogs they are the latest ones.
MAX_NEW_ITEMS = 100_000

# New items whose neighbors are searched for while the item index is held, which takes about 20 ms.
ITEMS_PER_ROUND = 20

NO_LISTS: NDArray[np.int64] = np.empty((0, NEIGHBOR_COUNT), np.int64)


class NewItems:
    """The nearest learned items of each new item, by key.

    Only one thread at a time may use it, as the lock of the item index ensures.
    """

    def __init__(self) -> None:
        self._model: BehaviorModel | None = None
        self._index: ItemIndex | None = None
        self._key_version = -1
        self._ids: dict[int, str] = {}
        self._lists: dict[int, Keys] = {}
        self._pending: list[int] = []
        self._learned: Mask = np.empty(0, np.bool_)
        self._keys: Keys = np.empty(0, np.int64)
        self._neighbors = NO_LISTS

    def update(self, item_index: ItemIndex, model: BehaviorModel) -> bool:
        """Search for the neighbors of some new items; return whether more are left.

        Args:
            item_index: the index of the items.
            model: what is learned.
        """
        is_same_index = self._index is item_index
        if self._model is not model or not is_same_index:
            self._ids, self._lists = {}, {}
        if self._model is not model or self._key_version != item_index.key_version:
            self._find_new_items(item_index, model)
        self._model, self._index, self._key_version = model, item_index, item_index.key_version
        for key in self._pending[:ITEMS_PER_ROUND]:
            hits = item_index.vectors.search_by_key(key, NEIGHBOR_COUNT, allowed=self._learned)
            if len(hits.keys) >= NEIGHBOR_COUNT:
                self._lists[key] = hits.keys[:NEIGHBOR_COUNT]
                (self._ids[key],) = item_index.get_ids([key])
        self._pending = self._pending[ITEMS_PER_ROUND:]
        if not self._pending:
            self._keys = np.fromiter(self._lists, np.int64, len(self._lists))
            self._neighbors = np.stack([*self._lists.values()]) if self._lists else NO_LISTS
        return bool(self._pending)

    def lend(self, item_index: ItemIndex, scores: Vectors, base: float, boost: float) -> Keys:
        """Raise the scores of new items, and return their keys.

        A new item gets the mean score of its neighbors above the base, times the boost. (Measured
        on the film likes: see bench/README.md.)

        Args:
            item_index: the index of the items; nothing is lent if it is not the one of the lists.
            scores: float32, by key; changed in place.
            base: the score of items that nothing speaks for.
            boost: the factor.
        """
        if self._index is not item_index or not len(self._keys):
            return np.empty(0, np.int64)
        means = scores[self._neighbors].mean(axis=1) - np.float32(base)
        scores[self._keys] = np.float32(base) + np.float32(boost) * means
        return self._keys

    def _find_new_items(self, item_index: ItemIndex, model: BehaviorModel) -> None:
        """Note which items are new, and drop the lists of those that are gone."""
        learned_keys = model.find_keys(model.learned_numbers, item_index)
        keys = item_index.vectors.keys()
        self._learned = np.zeros(int(keys.max(initial=-1)) + 1, np.bool_)
        self._learned[learned_keys[learned_keys >= 0]] = True
        new_keys = np.sort(keys[~self._learned[keys]])[-MAX_NEW_ITEMS:].tolist()
        ids = dict(zip(new_keys, item_index.get_ids(new_keys), strict=True))
        self._lists = {
            key: list_ for key, list_ in self._lists.items() if ids.get(key) == self._ids[key]
        }
        self._pending = [key for key in new_keys if key not in self._lists]
