"""Catalogs and their generations: all items of a catalog as vectors of one space."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.catalog_settings import DEFAULT_SETTINGS, CatalogSettings
from service.domain.index_kinds import IndexKind
from service.domain.spaces import Model, VectorStorage
from service.domain.text_formats import TextFormat
from service.domain.usage import TokenUsage

DEFAULT_CATALOG = "default"


@dataclass(frozen=True, slots=True)
class Generation:
    """All items of one catalog, of this name, as vectors of one space.

    `text_format` is that of the items' texts. All generations of a catalog have the same.
    """

    catalog_id: int
    name: str
    generation_id: int
    space_id: int
    text_format: TextFormat = TextFormat.PLAIN


class GenerationState(StrEnum):
    """What a generation is for.

    The next generation is embedding or indexing. The rows of a cancelled or dropped one are being
    removed.
    """

    SERVING = "serving"
    EMBEDDING = "embedding"
    INDEXING = "indexing"
    PREVIOUS = "previous"
    CANCELLED = "cancelled"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class LiveGeneration:
    """A generation that writes go to."""

    generation: Generation
    state: GenerationState


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """A generation with its start time, and the usage and error of its background embedding.

    `problem_reason` is the reason code of the error that stops the embedding, and `problem_message`
    its explanation; both are empty if there is none.
    """

    generation: Generation
    state: GenerationState
    model: Model
    start_us: int
    spent: TokenUsage
    problem_reason: str
    problem_message: str


@dataclass(frozen=True, slots=True)
class CatalogRecord:
    """A catalog and its generations; `own_model`: its model differs from the settings.

    `index` is the kind of index that serves. `next_index` is the one that the catalog changes to;
    None most of the time.
    """

    catalog_id: int
    name: str
    vector_storage: VectorStorage
    own_model: bool
    generations: tuple[GenerationRecord, ...]
    settings: CatalogSettings = DEFAULT_SETTINGS
    index: IndexKind = IndexKind.MEMORY
    next_index: IndexKind | None = None

    @property
    def serving(self) -> GenerationRecord:
        """The generation that serves."""
        (serving,) = self._in_state(GenerationState.SERVING)
        return serving

    @property
    def next(self) -> GenerationRecord | None:
        """The generation that will serve after the switch; None without a re-embedding."""
        records = self._in_state(GenerationState.EMBEDDING, GenerationState.INDEXING)
        return records[0] if records else None

    @property
    def previous(self) -> GenerationRecord | None:
        """The generation that served before the switch; None before it and after its commit."""
        records = self._in_state(GenerationState.PREVIOUS)
        return records[0] if records else None

    def _in_state(self, *states: GenerationState) -> list[GenerationRecord]:
        return [record for record in self.generations if record.state in states]
