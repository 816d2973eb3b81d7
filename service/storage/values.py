"""The values that only writers and followers of the store speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.values import Item, StoredItem


@dataclass(frozen=True, slots=True)
class Passage:
    """A vector (float32 [dimensions], unit length) under the hash of the text it stands for."""

    text_hash: bytes
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """An item to store.

    Either there are `passages`, one for most texts, or `pending_reason` tells why not yet.
    """

    item: Item
    passages: Sequence[Passage] = ()
    pending_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items by ascending id, how many there are in all, and whether more follow these."""

    items: Sequence[StoredItem]
    total: int
    more: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What a follower needs of one item: its vectors (float32 bytes), none if it must not serve.

    `attributes` are JSON; None: the item is gone.
    """

    item_id: str
    attributes: str | None
    vectors: Sequence[bytes]
    expire_time_us: int | None


@dataclass(frozen=True, slots=True)
class PendingItem:
    """An item whose text, as of `sequence`, waits to be embedded."""

    item_key: int
    sequence: int
    text: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Spend:
    """What embedding took on one day of UTC, or in all."""

    prompt_tokens: int = 0
    cost_usd: float = 0.0
