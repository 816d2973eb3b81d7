"""The queries and the results of recommendations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from service.domain.boosts import Boost
from service.domain.filters import Filter
from service.domain.groups import GroupBy
from service.domain.interactions import InteractionType
from service.domain.items import StoredItem
from service.domain.usage import EmbeddingUsage


@dataclass(frozen=True, slots=True)
class ItemSource:
    """An item of the catalog to recommend similar items for."""

    item_id: str


@dataclass(frozen=True, slots=True)
class UserSource:
    """A user of the catalog to recommend items to."""

    user_id: str


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text to recommend similar items for."""

    text: str


@dataclass(frozen=True, slots=True)
class VectorSource:
    """A vector of the catalog's space, of any length, to recommend similar items for."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """An item or a text that recommendations should be like or unlike."""

    example: ItemSource | TextSource | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ExamplesSource:
    """Examples to recommend items for that are like the positive and unlike the negative ones."""

    positive: tuple[Example, ...] = ()
    negative: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class PopularSource:
    """The items with the most interactions, which count half after `half_life_days`."""

    half_life_days: float


# The half-life of interactions for popular items, in days.
DEFAULT_HALF_LIFE_DAYS = 30.0

Source = ItemSource | UserSource | TextSource | VectorSource | ExamplesSource | PopularSource


class Relation(Enum):
    """How recommended items relate to a source item."""

    SIMILAR = auto()
    ALSO_LIKED = auto()
    BOTH = auto()


# The types of interactions whose items are not recommended to their user again.
SEEN_TYPES = (InteractionType.LIKE, InteractionType.PURCHASE)


@dataclass(frozen=True, slots=True)
class Query:
    """A query for recommendations.

    Attributes:
        relation: how recommended items relate to the source, if that is an item.
        seen_types: the types of the user's interactions whose items are not recommended.
        new_item_boost: how early new items come; None for the catalog's value.
        falls_back: recommend popular items to a user who does not exist.
        group_by: how many items with the same value of an attribute are recommended.
        boosts: what raises or lowers scores.
        with_vectors: whole items have their vectors.
        lexical_weight: how much words count, if the source is a text; None for the default.
    """

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
    relation: Relation = Relation.SIMILAR
    seen_types: tuple[str, ...] = SEEN_TYPES
    new_item_boost: float | None = None
    falls_back: bool = False
    group_by: GroupBy | None = None
    boosts: tuple[Boost, ...] = ()
    with_vectors: bool = False
    lexical_weight: float | None = None


class Signal(Enum):
    """Why a part of the source led to a recommendation."""

    TEXT = auto()
    BEHAVIOR = auto()


class Explanation(NamedTuple):
    """A part of the source that an item is recommended for, and their cosine similarity.

    The similarity is 0 if people who like this part of the source also like the item. The matched
    words are those of the source that the item's text has, if words count.
    """

    source: ItemSource | TextSource
    similarity: float
    signal: Signal = Signal.TEXT
    matched_words: Sequence[str] = ()


class Recommendation(NamedTuple):
    """A recommended item; `item` and `explanations` are set if the query requests them."""

    item_id: str
    score: float
    item: StoredItem | None = None
    explanations: Sequence[Explanation] = ()


@dataclass(frozen=True, slots=True)
class Signals:
    """What recommendations are based on: weights as shares of the score, whose sum is 1.

    `model_time_us` is the time at which the training of the model began, in microseconds since 1970
    UTC, or None if no model was used.
    """

    text_weight: float
    behavior_weight: float
    model_time_us: int | None = None


TEXT_SIGNALS = Signals(1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Recommendations:
    """The recommended items, best first, as of the write `sequence`.

    `missing_item_ids` are items of the source that were ignored because they have no vector.
    """

    recommendations: Sequence[Recommendation]
    sequence: int
    missing_item_ids: tuple[str, ...] = ()
    usage: EmbeddingUsage = field(default_factory=EmbeddingUsage)
    signals: Signals = TEXT_SIGNALS
