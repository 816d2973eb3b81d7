"""The values that only writers and followers of the store speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.values import Item, StoredItem


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """An item to store.

    Either there is a `vector` (float32, unit length), or `pending_reason` tells why not yet.
    """

    item: Item
    text_hash: bytes
    vector: NDArray[np.float32] | None = None
    pending_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items by ascending id, how many there are in all, and whether more follow these."""

    items: Sequence[StoredItem]
    total: int
    more: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What a follower needs of one item: its vector now (float32 bytes), or that it has none."""

    item_key: int
    item_id: str
    vector: bytes | None
    expire_time_us: int | None


@dataclass(frozen=True, slots=True)
class PendingItem:
    """An item whose text, as of `sequence`, waits to be embedded."""

    item_key: int
    sequence: int
    text: str
    attempts: int
