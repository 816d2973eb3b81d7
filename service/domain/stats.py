"""The state of a catalog as operators see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from service.domain.index_stats import IndexStats
from service.domain.spaces import Space, VectorStorage
from service.domain.usage import DailyUsage


class PendingGroup(NamedTuple):
    """The number of pending items with the same reason code and message."""

    reason: str
    message: str
    item_count: int


@dataclass(frozen=True, slots=True)
class CatalogStats:
    """What operators want to know of a catalog; the largest group of pending items comes first."""

    name: str
    item_count: int
    user_count: int
    sequence: int
    indexed_sequence: int
    space: Space
    pending: Sequence[PendingGroup]
    usage: Sequence[DailyUsage]
    embedding_error_reason: str
    embedding_error_message: str
    index: IndexStats
    vector_storage: VectorStorage


class ReembeddingState(Enum):
    """How far a re-embedding is."""

    EMBEDDING = "embedding"
    INDEXING = "indexing"
    SERVING = "serving"


@dataclass(frozen=True, slots=True)
class Reembedding:
    """How far a re-embedding is, and what it took so far in the background."""

    state: ReembeddingState
    from_space: Space
    to_space: Space
    items: int
    embedded_items: int
    rejected_items: int
    prompt_tokens: int
    cost_usd: float
    problem_reason: str
    problem_message: str
    start_us: int
