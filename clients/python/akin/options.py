"""Keyword options of the client's methods, one class for each set of options.

Type checkers and editors read them from the signatures of the methods. A keyword that a method
does not have raises TypeError. An option that is left out leaves the choice to the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from akin._analysis_options import (
    ClassifyTextOptions,
    ClusterItemsOptions,
    FindDuplicatesOptions,
    FindOutliersOptions,
    SearchPassagesOptions,
    Where,
)
from akin._catalog_options import (
    CreateCatalogOptions,
    EstimateReembeddingOptions,
    ModelOptions,
    SettingsOptions,
    UpdateCatalogOptions,
)
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import user_pb2

__all__ = [
    "BatchDeleteItemsOptions",
    "ClassifyTextOptions",
    "ClusterItemsOptions",
    "CreateCatalogOptions",
    "DeleteOptions",
    "EstimateReembeddingOptions",
    "FindDuplicatesOptions",
    "FindOutliersOptions",
    "GetItemOptions",
    "ImportInteractionsOptions",
    "ImportItemsOptions",
    "ImportUsersOptions",
    "InteractionOptions",
    "ListInteractionsOptions",
    "ListItemsOptions",
    "ModelOptions",
    "ReadOptions",
    "RecommendSimilarOptions",
    "SearchPassagesOptions",
    "SettingsOptions",
    "UpdateCatalogOptions",
    "UpdateItemOptions",
    "UpdateUserOptions",
    "UpsertItemOptions",
    "UpsertUserOptions",
    "Where",
]


class ReadOptions(TypedDict, total=False):
    """Options of reads that have no others.

    They are `get_user`, `list_users`, `get_catalog`, `list_catalogs` and `get_reembedding`.

    Attributes:
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    min_sequence: int


class GetItemOptions(TypedDict, total=False):
    """Options of `get_item` and `batch_get_items`.

    Attributes:
        include_vectors: return the vectors of items, too.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    include_vectors: bool
    min_sequence: int


class ListItemsOptions(TypedDict, total=False):
    """Options of `list_items`.

    Attributes:
        where: return only items that match (see `akin.filters`).
        include_vectors: return the vectors of items, too.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    where: Where
    include_vectors: bool
    min_sequence: int


class UpsertItemOptions(TypedDict, total=False):
    """Options of `upsert_item`.

    Attributes:
        expire_time: when the item expires; with a time zone.
        vectors: your own vectors of the item, made with the model of the catalog, to store instead
            of those of the text.
        require_indexed: fail if the text cannot be embedded now, instead of storing a pending item.
        expected_sequence: store only if the item has this sequence; 0: only if it does not exist.
    """

    expire_time: datetime | None
    vectors: Iterable[Iterable[float]] | None
    require_indexed: bool
    expected_sequence: int | None


class UpdateItemOptions(TypedDict, total=False):
    """Options of `update_item`: the new values, and how to store them.

    Attributes:
        text: new text.
        attributes: new attributes, which replace all attributes of the item; None removes them.
        expire_time: new time when the item expires, with a time zone; None removes it.
        vectors: new vectors of your own; None removes them, and the text is embedded.
        update_mask: fields to change: `text`, `attributes`, `expire_time`, `vectors`,
            `attributes.KEY` for one attribute, or `*` alone for all fields. A field in the mask
            that has no new value is cleared. By default, the fields that are given.
        require_indexed: fail if a new text cannot be embedded now, instead of storing a pending
            item.
        expected_sequence: change the item only if it has this sequence.
    """

    text: str
    attributes: Mapping[str, Any] | None
    expire_time: datetime | None
    vectors: Iterable[Iterable[float]] | None
    update_mask: Sequence[str] | None
    require_indexed: bool
    expected_sequence: int | None


class ImportItemsOptions(TypedDict, total=False):
    """Options of `import_items` and `import_item_batches`.

    Attributes:
        require_indexed: reject an item whose text cannot be embedded now, instead of storing it as
            pending.
        validate_only: check the items and estimate the embedding usage; store nothing.
    """

    require_indexed: bool
    validate_only: bool


class InteractionOptions(TypedDict, total=False):
    """Options of `akin.interaction`.

    Attributes:
        interaction_id: your id of the interaction, so that it is recorded once.
        value: a number to store with the interaction, such as a rating.
        recommendation_id: the `recommendation_id` of the response that led to the interaction.
    """

    interaction_id: str
    value: float | None
    recommendation_id: str


class ImportInteractionsOptions(TypedDict, total=False):
    """Options of `import_interactions`.

    Attributes:
        validate_only: check the interactions; record nothing.
    """

    validate_only: bool


class ListInteractionsOptions(TypedDict, total=False):
    """Options of `list_interactions`.

    Attributes:
        user_id: return only the interactions of this user.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    user_id: str
    min_sequence: int


class DeleteOptions(TypedDict, total=False):
    """Options of `delete_item`, `delete_user` and `delete_catalog`.

    Attributes:
        allow_missing: succeed if the resource does not exist.
    """

    allow_missing: bool


class BatchDeleteItemsOptions(TypedDict, total=False):
    """Options of `batch_delete_items`.

    Attributes:
        where: delete the items that match (see `akin.filters`), instead of items by id.
        validate_only: count the items; delete nothing.
        timeout_seconds: deadline of the call, retries included; 600 by default with `where`.
    """

    where: Where
    validate_only: bool
    timeout_seconds: float


class UpsertUserOptions(TypedDict, total=False):
    """Options of `upsert_user`.

    Attributes:
        expected_sequence: store only if the user has this sequence; 0: only if it does not exist.
    """

    expected_sequence: int | None


class UpdateUserOptions(TypedDict, total=False):
    """Options of `update_user`: the new values, and how to store them.

    Attributes:
        preferences: new preferences, which replace all of them; a plain string has weight 1.
        liked_items: new liked items, oldest first, which replace all of them; a plain string is an
            item's id with weight 1.
        update_mask: fields to change: `preferences`, `liked_items`, or `*` alone for both. A field
            in the mask that has no new value is cleared. By default, the fields that are given.
        expected_sequence: change the user only if it has this sequence.
    """

    preferences: Iterable[str | user_pb2.Preference]
    liked_items: Iterable[str | user_pb2.LikedItem]
    update_mask: Sequence[str] | None
    expected_sequence: int | None


class ImportUsersOptions(TypedDict, total=False):
    """Options of `import_users` and `import_user_batches`.

    Attributes:
        validate_only: check the users and estimate the embedding usage; store nothing.
    """

    validate_only: bool


class RecommendSimilarOptions(TypedDict, total=False):
    """Options of `recommend_similar`: exactly one source, and how to choose the items.

    Attributes:
        item_id: source: an item of the catalog.
        user_id: source: the preferences, liked items and interactions of a user.
        text: source: any text.
        examples: source: positive and negative examples (see `akin.examples`).
        popular: source: the items with the most interactions; `akin.Popular()` for the default
            half-life.
        vector: source: a vector of the catalog's model, of any length.
        relation: how recommended items relate to the source item: by similar texts, by what people
            also like, or both.
        exclude_interactions: exclude the items of the user's interactions of these types; an empty
            list excludes none. By default, LIKE and PURCHASE.
        new_item_boost: how early new items come, from 0 to 10. With 2, they come no later than text
            alone would recommend them. By default, the value of the catalog.
        fallback: what to recommend to a user who does not exist or of whom nothing is known.
        lexical_weight: how much exact words count for the source `text`, from 0 to 1; a server
            without AKIN_HYBRID refuses more than 0. By default, the setting of the server.
        limit: maximum number of recommendations, up to 1,000; 0 means 10.
        where: consider only items that match (see `akin.filters`).
        exclude_item_ids: items to exclude from the recommendations.
        min_score: return only items with at least this score.
        diversity: how much the items differ from each other, from 0 to 1.
        max_similarity: exclude near-duplicates of a better item whose cosine similarity is at least
            this, from -1 to 1.
        group_by: recommend at most some items with the same value of an attribute;
            `akin.GroupBy(attribute="brand")` for one of each.
        boosts: raise or lower scores by attributes, up to 10 of `akin.Boost`.
        explain: return the parts of the source that each item is recommended for.
        full: return whole items, not only their ids.
        include_vectors: return the vectors of the items, too; requires `full`.
        exact: compare vectors exhaustively, instead of approximately in large catalogs.
        min_sequence: reflect this write, the `sequence` of a response; wait if necessary.
    """

    item_id: str | None
    user_id: str | None
    text: str | None
    examples: pb.Examples | None
    popular: pb.Popular | None
    vector: Iterable[float] | None
    relation: pb.Relation.ValueType
    exclude_interactions: Sequence[str] | None
    new_item_boost: float | None
    fallback: pb.Fallback.ValueType
    lexical_weight: float | None
    limit: int
    where: Where
    exclude_item_ids: Sequence[str]
    min_score: float | None
    diversity: float
    max_similarity: float | None
    group_by: pb.GroupBy | None
    boosts: Sequence[pb.Boost]
    explain: bool
    full: bool
    include_vectors: bool
    exact: bool
    min_sequence: int
