"""The values that only writers and followers of the store speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from service.domain.values import Item, Space, StoredItem, VectorStorage

NEVER_US = 2**62
"""As the time of the next attempt: not before the item is written again, or the server restarts."""

NOT_YET = "the text is not embedded with the new model yet"


@dataclass(frozen=True, slots=True)
class Layer:
    """All items of one catalog, of this name, as vectors of one space."""

    catalog_id: int
    name: str
    layer_id: int
    space_id: int


class LayerState(StrEnum):
    """What a layer is for; what is cancelled or dropped is being removed."""

    SERVING = "serving"
    EMBEDDING = "embedding"
    INDEXING = "indexing"
    KEPT = "kept"
    CANCELLED = "cancelled"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Model:
    """What makes a layer's vectors, and the width it must be asked for, if it must."""

    space: Space
    dimensions_asked: int | None = None


@dataclass(frozen=True, slots=True)
class LiveLayer:
    """A layer that writes go to."""

    layer: Layer
    state: LayerState


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """A layer, since when it is there, what filling it took, and why it does not get on."""

    layer: Layer
    state: LayerState
    model: Model
    start_us: int
    spent: Spend
    problem: str


@dataclass(frozen=True, slots=True)
class CatalogRecord:
    """A catalog and its layers; `own_model`: its model is its own, not what the settings say."""

    catalog_id: int
    name: str
    vector_storage: VectorStorage
    own_model: bool
    layers: tuple[LayerRecord, ...]

    @property
    def serving(self) -> LayerRecord:
        """The layer that answers are made from."""
        return next(each for each in self.layers if each.state is LayerState.SERVING)

    @property
    def other(self) -> LayerRecord | None:
        """The layer that is being filled, or is kept."""
        return next((each for each in self.layers if each.state is not LayerState.SERVING), None)


@dataclass(frozen=True, slots=True)
class Passage:
    """A vector (float32 [dimensions], unit length) under the hash of the text it stands for."""

    text_hash: bytes
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """An item to store.

    Either there are `passages`, one for most texts, or `pending_reason` tells why not yet. `others`
    are the passages of further layers, by their ids.
    """

    item: Item
    passages: Sequence[Passage] = ()
    pending_reason: str | None = None
    others: Mapping[int, Sequence[Passage]] = field(default_factory=dict)

    def in_layer(self, layer_id: int, *, written: int) -> tuple[Sequence[Passage], str]:
        """The passages for a layer, or why there are none; `passages` are those of `written`."""
        if layer_id == written:
            return self.passages, self.pending_reason or ""
        return self.others.get(layer_id, ()), NOT_YET


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


@dataclass(frozen=True, slots=True)
class Spend:
    """What embedding took on one day of UTC, or in all."""

    prompt_tokens: int = 0
    cost_usd: float = 0.0
