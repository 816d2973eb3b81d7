"""Raises or lowers scores by how an item ranks among all items by a numeric attribute."""

from __future__ import annotations

import weakref

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Vectors
from service.index.item_index import ItemIndex

# Quantiles that describe the distribution of the attribute.
QUANTILE_COUNT = 128

# The quantiles are computed again after this many writes, as a share of the items.
MAX_STALE_SHARE = 0.05


class AttributePrior:
    """A bonus for each item by its rank among all items, from lowest to highest attribute.

    Ranks are used instead of values so that the unit and the spread of the attribute do not matter.
    An item without a number gets no bonus.

    Args:
        attribute: the dotted path of a numeric attribute.
        weight: the difference between the bonuses of the highest and the lowest item.
    """

    def __init__(self, attribute: str, weight: float) -> None:
        self._attribute = attribute
        self._weight = weight
        self._sequence = self._quantiles_sequence = -1
        self._item_index: weakref.ref[ItemIndex] | None = None
        self._numbers: NDArray[np.float64] = np.empty(0)
        self._quantiles: NDArray[np.float64] = np.empty(0)

    def compute_bonuses(self, item_index: ItemIndex, keys: Keys) -> Vectors:
        """Return what to add to the scores of keys: float32 [keys], within half the weight of 0."""
        self._refresh(item_index)
        numbers = self._numbers[keys]
        below = np.searchsorted(self._quantiles, numbers, "left")
        not_above = np.searchsorted(self._quantiles, numbers, "right")
        ranks = (below + not_above) / (2 * max(len(self._quantiles), 1))
        bonuses = np.where(np.isnan(numbers), 0.0, self._weight * (ranks - 0.5))
        return bonuses.astype(np.float32)

    def _refresh(self, item_index: ItemIndex) -> None:
        """Update the cached numbers, and the quantiles if many items were written since."""
        if self._item_index is None or self._item_index() is not item_index:
            # Another index has other keys, and may have lost writes of the former one.
            self._item_index = weakref.ref(item_index)
            self._sequence = self._quantiles_sequence = -1
        if item_index.sequence == self._sequence:
            return
        self._sequence = item_index.sequence
        self._numbers = item_index.attributes.get_numbers(self._attribute)
        writes = item_index.sequence - self._quantiles_sequence
        if self._quantiles_sequence < 0 or writes > MAX_STALE_SHARE * len(item_index):
            numbers = item_index.attributes.get_all_numbers(self._attribute)
            shares = np.linspace(0.0, 1.0, QUANTILE_COUNT)
            self._quantiles = np.quantile(numbers, shares) if len(numbers) else np.empty(0)
            self._quantiles_sequence = item_index.sequence
