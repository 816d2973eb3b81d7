"""Questions about a catalog as a whole, about labels and passages, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.domain import limits
from service.domain.filters import Filter
from service.domain.items import JsonValue, StoredItem
from service.domain.usage import EmbeddingUsage

MIN_SIMILARITY = 0.8
"""Cosine from which on texts are compared. Of 3,000 films with one sentence said in other words 92%
are at least this near to their originals, 96% at 0.75; of package descriptions there are twice as
many pairs to compare at 0.75."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What an answer was made from: of `item_count` items `examined_count`, as of `sequence`."""

    item_count: int
    examined_count: int
    sampled: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class DuplicatesQuery:
    """Which items repeat each other, or repeat the item that is named."""

    item_id: str = ""
    min_similarity: float = MIN_SIMILARITY
    filter: Filter | None = None
    exact: bool = False


class DuplicateItem(NamedTuple):
    """An item of a group, and its cosine with the group's first."""

    item_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Near-duplicate items, the one created first leading; `truncated` if items are missing."""

    items: Sequence[DuplicateItem]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups of near-duplicate items; `groups` is None if this only reports progress."""

    groups: Sequence[DuplicateGroup] | None
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class OutliersQuery:
    """Which items are least like any others."""

    limit: int = limits.OUTLIERS_DEFAULT
    filter: Filter | None = None
    full: bool = False
    exact: bool = False


class Outlier(NamedTuple):
    """An item, its mean cosine with its nearest neighbors, and the nearest; "" without any."""

    item_id: str
    score: float
    nearest_item_id: str
    item: StoredItem | None = None


@dataclass(frozen=True, slots=True)
class Outliers:
    """The oddest items, oddest first."""

    outliers: Sequence[Outlier]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class ClustersQuery:
    """How the items fall into groups; a count of 0 leaves the number to the service."""

    cluster_count: int = 0
    filter: Filter | None = None
    representative_limit: int = limits.REPRESENTATIVES_DEFAULT
    point_limit: int = 0


class ClusterItem(NamedTuple):
    """An item and its cosine with the middle of its group."""

    item_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group: how many items, what they are about, and where it is on the map, -1 to 1."""

    item_count: int
    words: Sequence[str]
    representatives: Sequence[ClusterItem]
    cohesion: float
    x: float
    y: float


class ClusterPoint(NamedTuple):
    """An item on the map; `cluster` is the place of its group in the answer."""

    item_id: str
    cluster: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Clusters:
    """The groups, largest first, and items on the map."""

    clusters: Sequence[Cluster]
    points: Sequence[ClusterPoint]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class LabelsQuery:
    """Which values of an attribute a text would have, going by items that are like it."""

    text: str
    attribute: str
    filter: Filter | None = None
    neighbor_count: int = limits.VOTERS_DEFAULT
    limit: int = limits.LABELS_DEFAULT
    exclude_item_ids: tuple[str, ...] = ()
    exact: bool = False


class Label(NamedTuple):
    """A value, and how likely the text has it."""

    value: JsonValue
    probability: float


class Voter(NamedTuple):
    """An item that voted, and its cosine with the text."""

    item_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels, likeliest first, and who voted, nearest first."""

    labels: Sequence[Label]
    voters: Sequence[Voter]
    usage: EmbeddingUsage
    sequence: int


@dataclass(frozen=True, slots=True)
class PassagesQuery:
    """Which passages of items' texts are most like a text; 0 passages an item: any number."""

    text: str
    limit: int = limits.PASSAGES_DEFAULT
    filter: Filter | None = None
    min_score: float | None = None
    limit_per_item: int = 0
    exact: bool = False


class FoundPassage(NamedTuple):
    """A piece of an item's text, where it is in bytes of UTF-8, and its cosine with the text."""

    item_id: str
    text: str
    start_offset: int
    end_offset: int
    score: float


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages, best first."""

    passages: Sequence[FoundPassage]
    sequence: int
    usage: EmbeddingUsage
