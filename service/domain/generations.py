"""Catalogs and their generations: all items of a catalog as vectors of one space."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.spaces import Model, VectorStorage
from service.domain.usage import TokenUsage

DEFAULT_CATALOG = "default"


@dataclass(frozen=True, slots=True)
class Generation:
    """All items of one catalog, of this name, as vectors of one space."""

    catalog_id: int
    name: str
    generation_id: int
    space_id: int


class GenerationState(StrEnum):
    """What a generation is for; what is cancelled or dropped is being removed."""

    SERVING = "serving"
    EMBEDDING = "embedding"
    INDEXING = "indexing"
    KEPT = "kept"
    CANCELLED = "cancelled"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class LiveGeneration:
    """A generation that writes go to."""

    generation: Generation
    state: GenerationState


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """A generation, since when it is there, what filling it took, and why it does not get on."""

    generation: Generation
    state: GenerationState
    model: Model
    start_us: int
    spent: TokenUsage
    problem: str


@dataclass(frozen=True, slots=True)
class CatalogRecord:
    """A catalog and its generations; `own_model`: its model differs from the settings."""

    catalog_id: int
    name: str
    vector_storage: VectorStorage
    own_model: bool
    generations: tuple[GenerationRecord, ...]

    @property
    def serving(self) -> GenerationRecord:
        """The generation that answers are made from."""
        return next(each for each in self.generations if each.state is GenerationState.SERVING)

    @property
    def other(self) -> GenerationRecord | None:
        """The generation that is being filled, or is kept."""
        return next(
            (each for each in self.generations if each.state is not GenerationState.SERVING), None
        )
