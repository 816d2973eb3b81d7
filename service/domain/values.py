"""The values that travel between the layers.

Times are whole microseconds since 1970-01-01 UTC, which SQLite stores and compares exactly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

JsonValue: TypeAlias = "bool | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""What JSON can say; numbers are doubles, as in google.protobuf.Struct."""

DEFAULT_CATALOG = "default"


class VectorStorage(Enum):
    """How an index keeps vectors in memory; unspecified: as the settings say."""

    UNSPECIFIED = ""
    FLOAT32 = "float32"
    FLOAT16 = "float16"


class ItemState(Enum):
    """Whether an item takes part in recommendations."""

    INDEXED = "indexed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field at fault and what is wrong with it; never quotes the caller's text."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Item:
    """An item as a caller writes it."""

    item_id: str
    text: str
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    expire_time_us: int | None = None


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as the store holds it: the version that `sequence` wrote."""

    item: Item
    state: ItemState
    sequence: int
    update_time_us: int
    pending_reason: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """A taste in words; a negative weight is a dislike."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LikedItem:
    """An item the user liked; a negative weight is a dislike."""

    item_id: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class User:
    """Someone to recommend to; liked items are in order, oldest first."""

    user_id: str
    preferences: tuple[Preference, ...] = ()
    liked_items: tuple[LikedItem, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as the store holds it."""

    user: User
    sequence: int
    update_time_us: int


@dataclass(frozen=True, slots=True)
class EmbeddingUsage:
    """What embedding took: distinct texts, how many had a vector, provider tokens and dollars."""

    texts: int = 0
    cached_texts: int = 0
    prompt_tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, other: EmbeddingUsage) -> EmbeddingUsage:
        """Both together, where they have no text in common."""
        return EmbeddingUsage(
            self.texts + other.texts,
            self.cached_texts + other.cached_texts,
            self.prompt_tokens + other.prompt_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """What embedding took on one day of UTC, YYYY-MM-DD."""

    day: str
    prompt_tokens: int
    cost_usd: float


class IndexFigures(NamedTuple):
    """How many vectors can be found; of them in graphs, void ones there, those with lists."""

    vectors: int
    graph_vectors: int = 0
    void_vectors: int = 0
    listed_vectors: int = 0
    building: bool = False
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CatalogFigures:
    """What operators want to know of a catalog; pending counts items by reason, most first."""

    name: str
    item_count: int
    user_count: int
    sequence: int
    space: Space
    pending: Mapping[str, int]
    usage: Sequence[DailyUsage]
    embedding_problem: str
    index: IndexFigures
    vector_storage: VectorStorage


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space: vectors may be compared only within one.

    A template is what is put around a text before it is embedded; `query_template` is for texts and
    tastes that items are looked for with.
    """

    provider: str
    model: str
    dimensions: int
    template: str = "{text}"
    query_template: str = "{text}"
    normalisation: str = "l2"

    @property
    def fingerprint(self) -> str:
        """The space in one canonical line, equal exactly for equal spaces."""
        return json.dumps(
            {
                "provider": self.provider,
                "model": self.model,
                "dimensions": self.dimensions,
                "template": self.template,
                "query_template": self.query_template,
                "normalisation": self.normalisation,
            },
            sort_keys=True,
        )


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a caller wants to embed with; what is left out is as in the settings."""

    provider: str = ""
    model: str = ""
    dimensions: int = 0
    template: str = ""
    query_template: str = ""


class ReembeddingState(Enum):
    """How far a re-embedding is."""

    EMBEDDING = "embedding"
    INDEXING = "indexing"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class ReembeddingFigures:
    """How far a re-embedding is, and what it took so far in the background."""

    state: ReembeddingState
    from_space: Space
    to_space: Space
    items: int
    embedded_items: int
    rejected_items: int
    prompt_tokens: int
    cost_usd: float
    problem: str
    start_us: int


def text_hash(text: str) -> bytes:
    """The address of a text's vector: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()
