"""Keyword options of the client's methods, one class for each set of options.

Type checkers and editors read them from the signatures of the methods. A keyword that a method
does not have raises TypeError; an option that is left out leaves the choice to the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from akin.v1 import catalog_service_pb2, filter_pb2
from akin.v1 import recommender_service_pb2 as pb


class UpsertItemOptions(TypedDict, total=False):
    """Options of `upsert_item`.

    Attributes:
        expire_time: when the item stops being recommended; with a time zone.
        require_indexed: fail if the text cannot be embedded now, instead of storing a pending item.
        expected_sequence: store only if the item has this sequence; 0: only if it does not exist.
    """

    expire_time: datetime | None
    require_indexed: bool
    expected_sequence: int | None


class ImportItemsOptions(TypedDict, total=False):
    """Options of `import_items` and `import_batches`.

    Attributes:
        require_indexed: reject an item whose text cannot be embedded now, instead of storing it as
            pending.
        validate_only: check the items and estimate the embedding usage; store nothing.
    """

    require_indexed: bool
    validate_only: bool


class DeleteOptions(TypedDict, total=False):
    """Options of `delete_item` and `delete_catalog`.

    Attributes:
        allow_missing: succeed if the resource does not exist.
    """

    allow_missing: bool


class ListItemsOptions(TypedDict, total=False):
    """Options of `list_items`.

    Attributes:
        where: return only items that match (see `akin.filters`).
    """

    where: filter_pb2.Filter | filter_pb2.Condition | None


class RecommendSimilarOptions(TypedDict, total=False):
    """Options of `recommend_similar`: exactly one source, and how to choose the items.

    Attributes:
        item_id: source: an item of the catalog.
        user_id: source: the preferences and liked items of a user.
        text: source: any text.
        examples: source: positive and negative examples (see `akin.examples`).
        limit: maximum number of recommendations, up to 1,000; 0 means 10.
        where: return only items that match (see `akin.filters`).
        exclude_item_ids: items to leave out of the results.
        min_score: return only items with at least this score.
        diversity: how much the items should differ from each other, from 0 to 1.
        max_similarity: omit near-duplicates of a better item whose cosine is at least this, from
            -1 to 1.
        full: return whole items, not only ids and scores.
        min_sequence: wait until the index has applied this write, the `sequence` of a response.
        exact: score every item for a user or examples, not only the nearest items of each query
            vector.
        explain: return the reasons for each recommendation.
    """

    item_id: str | None
    user_id: str | None
    text: str | None
    examples: pb.Examples | None
    limit: int
    where: filter_pb2.Filter | filter_pb2.Condition | None
    exclude_item_ids: Sequence[str]
    min_score: float | None
    diversity: float
    max_similarity: float | None
    full: bool
    min_sequence: int
    exact: bool
    explain: bool


class FindDuplicatesOptions(TypedDict, total=False):
    """Options of `find_duplicates`.

    Attributes:
        item_id: find near-duplicates of this item only.
        min_similarity: compare the texts of two items if their cosine is at least this, from -1
            to 1.
        where: compare only items that match (see `akin.filters`).
        timeout_seconds: deadline of the call; 600 by default.
    """

    item_id: str
    min_similarity: float | None
    where: filter_pb2.Filter | filter_pb2.Condition | None
    timeout_seconds: float


class FindOutliersOptions(TypedDict, total=False):
    """Options of `find_outliers`.

    Attributes:
        limit: maximum number of items, up to 1,000; 0 means 20.
        where: consider only items that match, also as neighbors (see `akin.filters`).
        full: return whole items, not only ids and scores.
        timeout_seconds: deadline of the call, retries included; 600 by default.
    """

    limit: int
    where: filter_pb2.Filter | filter_pb2.Condition | None
    full: bool
    timeout_seconds: float


class ClusterItemsOptions(TypedDict, total=False):
    """Options of `cluster_items`.

    Attributes:
        cluster_count: number of clusters, up to 1,000; 0 lets the server choose.
        where: cluster only items that match (see `akin.filters`).
        representative_limit: maximum number of representative items of each cluster, up to 100;
            0 means 5.
        point_limit: maximum number of items to return with their cluster and map position, up to
            100,000; 0 means none.
        timeout_seconds: deadline of the call, retries included; 600 by default.
    """

    cluster_count: int
    where: filter_pb2.Filter | filter_pb2.Condition | None
    representative_limit: int
    point_limit: int
    timeout_seconds: float


class ClassifyTextOptions(TypedDict, total=False):
    """Options of `classify_text`.

    Attributes:
        where: let only items vote that match (see `akin.filters`).
        neighbor_count: number of items that vote, up to 1,000; 0 means 20.
        limit: maximum number of labels, up to 1,000; 0 means 10.
        exclude_item_ids: items that do not vote, such as the item the text belongs to.
    """

    where: filter_pb2.Filter | filter_pb2.Condition | None
    neighbor_count: int
    limit: int
    exclude_item_ids: Sequence[str]


class SearchPassagesOptions(TypedDict, total=False):
    """Options of `search_passages`.

    Attributes:
        limit: maximum number of passages; 0 means 10.
        where: search only items that match (see `akin.filters`).
        min_score: return only passages with at least this score.
        passages_per_item: maximum number of passages of one item; 0 means no limit.
        min_sequence: wait until the index has applied this write, the `sequence` of a response.
    """

    limit: int
    where: filter_pb2.Filter | filter_pb2.Condition | None
    min_score: float | None
    passages_per_item: int
    min_sequence: int


class ModelOptions(TypedDict, total=False):
    """Options of `estimate_reembedding` and `start_reembedding`: the embedding model to use.

    The server's settings supply the options that are left out.

    Attributes:
        provider: embedding provider: `local`, or the one in the server's settings.
        model: name of the model, as the provider calls it.
        dimensions: vector length to request from the model; 0 means the model's own.
        template: text to embed for an item; `{text}` in it stands for the item's text.
        query_template: the same for query texts and user preferences.
    """

    provider: str
    model: str
    dimensions: int
    template: str
    query_template: str


class CreateCatalogOptions(ModelOptions, total=False):
    """Options of `create_catalog`: the embedding model, and the storage of vectors.

    The server's settings supply the options that are left out.

    Attributes:
        provider: embedding provider: `local`, or the one in the server's settings.
        model: name of the model, as the provider calls it.
        dimensions: vector length to request from the model; 0 means the model's own.
        template: text to embed for an item; `{text}` in it stands for the item's text.
        query_template: the same for query texts and user preferences.
        vector_storage: precision of the vectors in memory.
    """

    vector_storage: catalog_service_pb2.VectorStorage.ValueType
