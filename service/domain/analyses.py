"""The queries and the results of analyses of a catalog, of text classification and of passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.domain import limits
from service.domain.filters import Filter
from service.domain.items import JsonValue, StoredItem
from service.domain.usage import EmbeddingUsage

# The cosine similarity from which on texts are compared. Of 3,000 films with one sentence
# paraphrased, 92% are at least this similar to their originals, and 96% reach 0.75; but package
# descriptions have twice as many pairs to compare at 0.75.
DEFAULT_MIN_SIMILARITY = 0.8

# Neighbors of one item. Hundreds of ties are not needed.
MAX_NEIGHBORS = 1_000


class Neighbor(NamedTuple):
    """An item and its cosine with another item."""

    item_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a catalog an analysis examined, as of the write `sequence`."""

    item_count: int
    examined_item_count: int
    sampled: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class DuplicatesQuery:
    """A query for near-duplicate items, in the whole catalog or around one item."""

    item_id: str = ""
    min_similarity: float = DEFAULT_MIN_SIMILARITY
    filter: Filter | None = None
    exact: bool = False


class DuplicateItem(NamedTuple):
    """An item of a group, and its cosine similarity to the first item of the group."""

    item_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Near-duplicate items, the oldest one first; `truncated` if the group is incomplete."""

    items: Sequence[DuplicateItem]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class DuplicatesProgress:
    """The progress of a search for near-duplicates: how much has been examined so far."""

    coverage: Coverage


@dataclass(frozen=True, slots=True)
class DuplicateGroups:
    """Groups of near-duplicate items, largest first."""

    groups: Sequence[DuplicateGroup]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class OutliersQuery:
    """A query for the items that are least similar to all others."""

    limit: int = limits.OUTLIERS_DEFAULT
    filter: Filter | None = None
    full: bool = False
    exact: bool = False


class Outlier(NamedTuple):
    """An item, its mean cosine similarity to its nearest neighbors, and the nearest neighbor.

    Without neighbors, the similarity is 0 and the id of the nearest one is empty.
    """

    item_id: str
    mean_similarity: float
    nearest_item_id: str
    item: StoredItem | None = None


@dataclass(frozen=True, slots=True)
class Outliers:
    """The outliers, strongest first."""

    outliers: Sequence[Outlier]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class ClustersQuery:
    """A query for clusters of similar items; with a count of 0 the service chooses the number."""

    cluster_count: int = 0
    filter: Filter | None = None
    representative_limit: int = limits.REPRESENTATIVES_DEFAULT
    point_limit: int = 0


class ClusterItem(NamedTuple):
    """An item and its cosine similarity to the centroid of its cluster."""

    item_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of similar items; `x` and `y` are its centroid's place on the map, -1 to 1."""

    item_count: int
    keywords: Sequence[str]
    representatives: Sequence[ClusterItem]
    cohesion: float
    x: float
    y: float


class ClusterPoint(NamedTuple):
    """An item's place on the map, and the index of its cluster in the result."""

    item_id: str
    cluster_index: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters, largest first, and items on the map."""

    clusters: Sequence[Cluster]
    points: Sequence[ClusterPoint]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class ClassificationQuery:
    """A query for the values of an attribute that suit a text, from the most similar items."""

    text: str
    attribute: str
    filter: Filter | None = None
    neighbor_count: int = limits.LABEL_NEIGHBORS_DEFAULT
    limit: int = limits.LABELS_DEFAULT
    exclude_item_ids: tuple[str, ...] = ()
    exact: bool = False


class Label(NamedTuple):
    """A value of the attribute, and the probability that the text has it."""

    value: JsonValue
    probability: float


class LabelNeighbor(NamedTuple):
    """An item that determined the labels, and its cosine similarity to the text."""

    item_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Classification:
    """The labels of a text, most probable first, and the items behind them, nearest first."""

    labels: Sequence[Label]
    neighbors: Sequence[LabelNeighbor]
    usage: EmbeddingUsage
    sequence: int


@dataclass(frozen=True, slots=True)
class PassagesQuery:
    """A query for the passages that are most similar to a text; a limit per item of 0 is none.

    `lexical_weight` is how much words count, None for the default.
    """

    text: str
    limit: int = limits.PASSAGES_DEFAULT
    filter: Filter | None = None
    min_score: float | None = None
    limit_per_item: int = 0
    exact: bool = False
    lexical_weight: float | None = None


class Passage(NamedTuple):
    """A part of an item's text, its offsets in bytes of UTF-8, and its score."""

    item_id: str
    text: str
    start_offset: int
    end_offset: int
    score: float


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages, best first."""

    passages: Sequence[Passage]
    sequence: int
    usage: EmbeddingUsage
