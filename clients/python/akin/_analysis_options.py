"""Keyword options of the methods that analyze a catalog, and the type of their filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

from akin.v1 import filter_pb2

Where: TypeAlias = filter_pb2.Filter | filter_pb2.Condition | None


class FindDuplicatesOptions(TypedDict, total=False):
    """Options of `find_duplicates`.

    Attributes:
        item_id: find near-duplicates of this item only.
        min_similarity: compare the texts of two items if their cosine similarity is at least this,
            from -1 to 1.
        where: consider only items that match (see `akin.filters`).
        exact: compare vectors exhaustively, instead of approximately in large catalogs.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
        timeout_seconds: deadline of the call; 600 by default.
    """

    item_id: str
    min_similarity: float | None
    where: Where
    exact: bool
    min_sequence: int
    timeout_seconds: float


class FindOutliersOptions(TypedDict, total=False):
    """Options of `find_outliers`.

    Attributes:
        limit: maximum number of outliers, up to 1,000; 0 means 20.
        where: consider only items that match, also as neighbors (see `akin.filters`).
        full: return whole items, not only their ids.
        exact: compare vectors exhaustively, instead of approximately in large catalogs.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
        timeout_seconds: deadline of the call, retries included; 600 by default.
    """

    limit: int
    where: Where
    full: bool
    exact: bool
    min_sequence: int
    timeout_seconds: float


class ClusterItemsOptions(TypedDict, total=False):
    """Options of `cluster_items`.

    Attributes:
        cluster_count: number of clusters, up to 1,000; 0 lets the server choose.
        where: consider only items that match (see `akin.filters`).
        representative_limit: maximum number of representative items of each cluster, up to 100;
            0 means 5.
        point_limit: maximum number of items to return with their cluster and map position, up to
            100,000; 0 means none.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
        timeout_seconds: deadline of the call, retries included; 600 by default.
    """

    cluster_count: int
    where: Where
    representative_limit: int
    point_limit: int
    min_sequence: int
    timeout_seconds: float


class ClassifyTextOptions(TypedDict, total=False):
    """Options of `classify_text`.

    Attributes:
        where: consider only items that match (see `akin.filters`).
        exclude_item_ids: items to ignore, such as the item that the text belongs to.
        neighbor_count: number of items that determine the labels, up to 1,000; 0 means 20.
        limit: maximum number of labels, up to 1,000; 0 means 10.
        exact: compare vectors exhaustively, instead of approximately in large catalogs.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    where: Where
    exclude_item_ids: Sequence[str]
    neighbor_count: int
    limit: int
    exact: bool
    min_sequence: int


class SearchPassagesOptions(TypedDict, total=False):
    """Options of `search_passages`.

    Attributes:
        limit: maximum number of passages, up to 1,000; 0 means 10.
        limit_per_item: maximum number of passages of one item; 0 means no maximum.
        where: consider only items that match (see `akin.filters`).
        min_score: return only passages with at least this score.
        lexical_weight: how much exact words count, from 0 to 1; a server without AKIN_HYBRID
            refuses more than 0. By default, the setting of the server.
        exact: compare vectors exhaustively, instead of approximately in large catalogs.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    limit: int
    limit_per_item: int
    where: Where
    min_score: float | None
    lexical_weight: float | None
    exact: bool
    min_sequence: int
