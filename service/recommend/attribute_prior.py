"""What an item is worth before any taste is known: its place by a numeric attribute."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Keys, Vectors
from service.index.item_index import ItemIndex

PLACES = 128
STALE_SHARE = 0.05
"""The places are made anew once so many writes, as a share of the items, have been made."""


class AttributePrior:
    """Lifts items by their place among all items, from lowest to highest, by one attribute.

    Places rather than values, so that the attribute's unit and spread do not matter. An item
    without a number is neither lifted nor lowered.
    """

    def __init__(self, attribute: str, weight: float) -> None:
        self._attribute = attribute
        self._weight = weight
        self._sequence = self._placed = -1
        self._numbers: NDArray[np.float64] = np.empty(0)
        self._bounds: NDArray[np.float64] = np.empty(0)

    def lift(self, item_index: ItemIndex, keys: Keys) -> Vectors:
        """What to add to the scores of keys: float32 between plus and minus half the weight."""
        self._follow(item_index)
        numbers = self._numbers[keys]
        below = np.searchsorted(self._bounds, numbers, "left")
        not_above = np.searchsorted(self._bounds, numbers, "right")
        places = (below + not_above) / (2 * max(len(self._bounds), 1))
        lifts = np.where(np.isnan(numbers), 0.0, self._weight * (places - 0.5))
        return lifts.astype(np.float32)

    def _follow(self, item_index: ItemIndex) -> None:
        if item_index.sequence == self._sequence:
            return
        self._sequence = item_index.sequence
        self._numbers = item_index.attributes.get_numbers(self._attribute)
        if self._placed < 0 or item_index.sequence - self._placed > STALE_SHARE * len(item_index):
            known = self._numbers[~np.isnan(self._numbers)]
            shares = np.linspace(0.0, 1.0, PLACES)
            self._bounds = np.quantile(known, shares) if len(known) else np.empty(0)
            self._placed = item_index.sequence
