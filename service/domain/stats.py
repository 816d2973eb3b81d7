"""The state of a catalog as operators see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from service.domain.spaces import Space, VectorStorage
from service.domain.usage import DailyUsage


class IndexStats(NamedTuple):
    """How many vectors can be found; of them in graphs, void ones there, those with lists."""

    vectors: int
    graph_vectors: int = 0
    void_vectors: int = 0
    listed_vectors: int = 0
    building: bool = False
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CatalogStats:
    """What operators want to know of a catalog; pending counts items by reason, most first."""

    name: str
    item_count: int
    user_count: int
    sequence: int
    space: Space
    pending: Mapping[str, int]
    usage: Sequence[DailyUsage]
    embedding_problem: str
    index: IndexStats
    vector_storage: VectorStorage


class ReembeddingState(Enum):
    """The stage of a re-embedding."""

    EMBEDDING = "embedding"
    INDEXING = "indexing"
    SWITCHED = "switched"


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
    problem: str
    start_us: int
