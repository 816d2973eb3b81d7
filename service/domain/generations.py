"""Catalogs and their generations: all items of a catalog as vectors of one space."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.spaces import Model, VectorStorage
from service.domain.usage import Spend

DEFAULT_CATALOG = "default"


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
