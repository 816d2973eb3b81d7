"""The values that only writers and readers of the store use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.items import Item, StoredItem
from service.domain.vectors import Chunk

NEVER_US = 2**62
"""As the time of the next attempt: not before the item is written again, or the server restarts."""


NOT_YET = "the text is not embedded with the new model yet"


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """An item to store.

    Either there are `chunks`, one for most texts, or `pending_reason` tells why not yet. `others`
    are the chunks of further generations, by their ids.
    """

    item: Item
    chunks: Sequence[Chunk] = ()
    pending_reason: str | None = None
    others: Mapping[int, Sequence[Chunk]] = field(default_factory=dict)

    def in_generation(self, generation_id: int, *, written: int) -> tuple[Sequence[Chunk], str]:
        """Return the chunks for a generation, or why there are none."""
        if generation_id == written:
            return self.chunks, self.pending_reason or ""
        return self.others.get(generation_id, ()), NOT_YET


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items by ascending id, how many there are in all, and whether more follow these."""

    items: Sequence[StoredItem]
    total: int
    more: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of an item, for analyses.

    `text` may be its beginning only, and `attributes` are JSON. Of two items the one with the lower
    `order` was there first; `waits` tells that the text has no vectors yet.
    """

    text: str
    attributes: str
    sequence: int
    order: int
    waits: bool


@dataclass(frozen=True, slots=True)
class PendingItem:
    """An item whose text, as of `sequence`, waits to be embedded."""

    item_key: int
    sequence: int
    text: str
    attempts: int
