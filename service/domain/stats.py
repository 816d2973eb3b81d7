"""The state of a catalog as operators see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from service.domain.behavior import TrainingSummary
from service.domain.catalog_settings import DEFAULT_SETTINGS, CatalogSettings
from service.domain.index_kinds import IndexKind
from service.domain.index_stats import IndexStats
from service.domain.recommendation_ids import SignalKind, SourceKind
from service.domain.spaces import Space, VectorStorage
from service.domain.text_formats import TextFormat
from service.domain.usage import DailyUsage, EmbeddingUsage


class PendingGroup(NamedTuple):
    """The pending items with the same reason code and message.

    Attributes:
        reason: the code.
        message: the message.
        item_count: the number of the items.
        oldest_update_time_us: the time of the earliest last write of one of them, in microseconds
            since 1970 UTC; None if it was not looked for.
    """

    reason: str
    message: str
    item_count: int
    oldest_update_time_us: int | None


class ClickThrough(NamedTuple):
    """The numbers of responses of one kind, and of those that led to an interaction."""

    source: SourceKind
    signals: SignalKind
    response_count: int
    clicked_response_count: int


@dataclass(frozen=True, slots=True)
class CatalogStats:
    """What operators want to know of a catalog; the largest group of pending items comes first.

    `unknown_text_ratio` is the share of the latest items whose texts the local model largely does
    not know. `index_kind` is the index that serves in this process, and `next_index_kind` the one
    that the catalog changes to. `index_progress` is how much of a shared index that is being built
    is done, between 0 and 1; 0 if none is.
    """

    name: str
    item_count: int
    user_count: int
    interaction_count: int
    sequence: int
    indexed_sequence: int
    space: Space
    pending: Sequence[PendingGroup]
    usage: Sequence[DailyUsage]
    embedding_error_reason: str
    embedding_error_message: str
    index: IndexStats
    vector_storage: VectorStorage
    text_format: TextFormat = TextFormat.PLAIN
    unknown_text_ratio: float = 0.0
    settings: CatalogSettings = DEFAULT_SETTINGS
    training: TrainingSummary | None = None
    click_through: Sequence[ClickThrough] = ()
    index_kind: IndexKind = IndexKind.MEMORY
    next_index_kind: IndexKind | None = None
    index_progress: float = 0.0


class ReembeddingState(Enum):
    """The stage of a re-embedding."""

    EMBEDDING = "embedding"
    INDEXING = "indexing"
    SERVING = "serving"


@dataclass(frozen=True, slots=True)
class Reembedding:
    """The progress of a re-embedding, and its usage in the background so far."""

    state: ReembeddingState
    from_space: Space
    to_space: Space
    item_count: int
    embedded_item_count: int
    rejected_item_count: int
    prompt_tokens: int
    cost_usd: float
    problem_reason: str
    problem_message: str
    start_us: int


@dataclass(frozen=True, slots=True)
class ReembeddingEstimate:
    """The estimated usage and duration of re-embedding; `sampled` if it was scaled up."""

    space: Space
    usage: EmbeddingUsage
    seconds: float
    sampled: bool
