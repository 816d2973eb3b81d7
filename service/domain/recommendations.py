"""Questions for recommendations, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from service.domain.filters import Filter
from service.domain.items import StoredItem
from service.domain.usage import EmbeddingUsage


@dataclass(frozen=True, slots=True)
class ItemSource:
    """Recommend what is similar to an item of the catalog."""

    item_id: str


@dataclass(frozen=True, slots=True)
class UserSource:
    """Recommend what suits a user of the catalog."""

    user_id: str


@dataclass(frozen=True, slots=True)
class TextSource:
    """Recommend what is similar to a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """An item or a text to be like or unlike."""

    example: ItemSource | TextSource | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ExamplesSource:
    """Recommend what is like the positive examples and unlike the negative ones."""

    positive: tuple[Example, ...] = ()
    negative: tuple[Example, ...] = ()


Source = ItemSource | UserSource | TextSource | ExamplesSource


@dataclass(frozen=True, slots=True)
class Query:
    """One question for recommendations."""

    source: Source | None
    limit: int
    exclude_item_ids: tuple[str, ...] = ()
    min_score: float | None = None
    full: bool = False
    exact: bool = False
    filter: Filter | None = None
    diversity: float = 0.0
    max_similarity: float | None = None
    explain: bool = False


class Reason(NamedTuple):
    """One item or text of the source that an item is recommended for, and their cosine."""

    source: ItemSource | TextSource
    similarity: float


class Recommendation(NamedTuple):
    """One recommended item; `item` and `reasons` are there when the query asked for them."""

    item_id: str
    score: float
    item: StoredItem | None = None
    reasons: Sequence[Reason] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a query: best first, what did not count, and the last write it reflects."""

    recommendations: Sequence[Recommendation]
    sequence: int
    missing_item_ids: tuple[str, ...] = ()
    usage: EmbeddingUsage = field(default_factory=EmbeddingUsage)
