"""Requests from plain Python values, for both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, Unpack

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from akin._json_values import check_numbers
from akin._vectors import build_vector, build_vectors
from akin.filters import all_of
from akin.options import (
    BatchDeleteItemsOptions,
    InteractionOptions,
    RecommendSimilarOptions,
    UpdateItemOptions,
    UpdateUserOptions,
    UpsertItemOptions,
    Where,
)
from akin.v1 import filter_pb2, interaction_pb2, item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb

SOURCES = ("item_id", "user_id", "text", "examples", "popular", "vector")

Request = TypeVar("Request", bound=Message)


def check_list(name: str, values: Iterable[object]) -> None:
    """Check a list of strings or messages.

    Raises:
        ValueError: `values` is a single string, whose characters would become the values.
    """
    if isinstance(values, str):
        raise ValueError(f"{name} must be a list, not the string {values!r}")  # noqa: TRY004  (one error for all)


def item(
    item_id: str,
    text: str,
    attributes: Mapping[str, Any] | None = None,
    expire_time: datetime | None = None,
    vectors: Iterable[Iterable[float]] | None = None,
) -> item_pb2.Item:
    """Return an item to store.

    Args:
        item_id: your id of the item.
        text: text that describes the item.
        attributes: JSON values to store with the item and to filter by.
        expire_time: when the item expires; with a time zone.
        vectors: your own vectors of the item, made with the model of the catalog, to store instead
            of those of the text.

    Raises:
        TypeError: a vector is not a list of numbers.
        ValueError: an attribute is not a JSON value, a double cannot hold a number exactly, the
            time has no time zone, or a number of a vector is too large.
    """
    message = item_pb2.Item(item_id=item_id, text=text)
    if attributes:
        check_numbers(attributes, "attributes")
        message.attributes.update(attributes)
    if expire_time is not None:
        if expire_time.tzinfo is None:
            raise ValueError("expire_time needs a time zone")
        message.expire_time.FromDatetime(expire_time)
    message.vectors.extend(build_vectors(vectors))
    return message


def interaction(
    user_id: str,
    item_id: str,
    type: str,  # noqa: A002  (the name of the field)
    time: datetime | None = None,
    **options: Unpack[InteractionOptions],
) -> interaction_pb2.Interaction:
    """Return an interaction to record.

    Args:
        user_id: your id of the user.
        item_id: your id of the item.
        type: what the user did: VIEW, CLICK, LIKE, PURCHASE, SHARE, DISLIKE or SKIP, or a type that
            the catalog has a weight for.
        time: when the user did it, with a time zone; by default, when it is sent.
        **options: see `akin.options.InteractionOptions`.

    Raises:
        TypeError: a keyword is not an option.
        ValueError: the time has no time zone.
    """
    check_options(InteractionOptions, options)
    message = interaction_pb2.Interaction(user_id=user_id, item_id=item_id, type=type, **options)
    if time is not None:
        if time.tzinfo is None:
            raise ValueError("time needs a time zone")
        message.time.FromDatetime(time)
    return message


def set_missing_times(interactions: Iterable[interaction_pb2.Interaction]) -> None:
    """Set the time of interactions that have none to the present one."""
    for message in interactions:
        if not message.HasField("time"):
            message.time.GetCurrentTime()


def user(
    user_id: str,
    preferences: Iterable[str | user_pb2.Preference] = (),
    liked_items: Iterable[str | user_pb2.LikedItem] = (),
) -> user_pb2.User:
    """Return a user to store.

    Args:
        user_id: your id of the user.
        preferences: texts that describe what the user likes; a plain string has weight 1.
        liked_items: ids of items that the user liked, oldest first; a plain string has weight 1.

    Raises:
        ValueError: `preferences` or `liked_items` is a single string.
    """
    check_list("preferences", preferences)
    check_list("liked_items", liked_items)
    return user_pb2.User(
        user_id=user_id,
        preferences=[
            user_pb2.Preference(text=preference) if isinstance(preference, str) else preference
            for preference in preferences
        ],
        liked_items=[
            user_pb2.LikedItem(item_id=liked_item) if isinstance(liked_item, str) else liked_item
            for liked_item in liked_items
        ],
    )


def examples(
    positive: Iterable[str | pb.Example] = (), negative: Iterable[str | pb.Example] = ()
) -> pb.Examples:
    """Return examples to recommend items for; a plain string is an item's id.

    Args:
        positive: items or texts to be like; use `akin.Example(text=...)` for a text.
        negative: items or texts to be unlike.

    Raises:
        ValueError: `positive` or `negative` is a single string.
    """
    check_list("positive", positive)
    check_list("negative", negative)
    return pb.Examples(positive=map(_example, positive), negative=map(_example, negative))


def _example(example: str | pb.Example) -> pb.Example:
    return pb.Example(item_id=example) if isinstance(example, str) else example


def check_options(options_type: type, options: Mapping[str, object]) -> None:
    """Check the keywords that a method received.

    Args:
        options_type: TypedDict of the method's options.
        options: the keywords.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    for name in options:
        if name not in options_type.__annotations__:
            names = ", ".join(options_type.__annotations__)
            raise TypeError(f"unexpected keyword argument {name!r}; the options are {names}")


def build(
    request: Callable[..., Request],
    options_type: type,
    options: Mapping[str, Any],
    **fields: object,
) -> Request:
    """Build a request from fields and from a method's options.

    An option sets the request's field of the same name, except `where`, which sets `filter`, and
    `full`, which sets `view`.

    Args:
        request: class of the request.
        options_type: TypedDict of the method's options.
        options: the options that the method received.
        **fields: fields of the request that are not options.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    check_options(options_type, options)
    values: dict[str, Any] = {**fields, **options}
    if "where" in values:
        values["filter"] = _filter(values.pop("where"))
    if values.pop("full", False):
        values["view"] = item_pb2.ITEM_VIEW_FULL
    return request(**values)


def _filter(where: Where) -> filter_pb2.Filter | None:
    return all_of(where) if isinstance(where, filter_pb2.Condition) else where


def check_source(options: Mapping[str, object]) -> None:
    """Check the source of recommendations.

    Raises:
        ValueError: the options do not have exactly one source.
    """
    if sum(options.get(source) is not None for source in SOURCES) != 1:
        raise ValueError("give exactly one of item_id, user_id, text, examples, popular and vector")


def recommend_similar(
    catalog: str, **options: Unpack[RecommendSimilarOptions]
) -> pb.RecommendSimilarRequest:
    """Build a request for recommendations.

    Raises:
        TypeError: a keyword is not an option of the method, or the vector is not a list of numbers.
        ValueError: the options do not have exactly one source, the types of interactions are a
            single string, or a number of the vector is too large.
    """
    check_options(RecommendSimilarOptions, options)
    check_source(options)
    types = options.pop("exclude_interactions", None)
    excluded = None
    if types is not None:
        check_list("exclude_interactions", types)
        excluded = pb.InteractionTypes(types=types)
    values = options.pop("vector", None)
    return build(
        pb.RecommendSimilarRequest,
        RecommendSimilarOptions,
        options,
        catalog=catalog,
        exclude_interactions=excluded,
        vector=None if values is None else build_vector("vector", values),
    )


def batch_recommend(
    catalog: str, queries: Iterable[RecommendSimilarOptions]
) -> pb.BatchRecommendRequest:
    """Build a request for the recommendations of several queries.

    Raises:
        TypeError: a keyword of a query is not an option of `recommend_similar`.
        ValueError: a query does not have exactly one source, or its types of interactions are a
            single string.
    """
    requests = (recommend_similar("", **query) for query in queries)
    return pb.BatchRecommendRequest(catalog=catalog, queries=requests)


def upsert_item(
    catalog: str,
    item_id: str,
    text: str,
    attributes: Mapping[str, Any] | None,
    **options: Unpack[UpsertItemOptions],
) -> pb.UpsertItemRequest:
    """Build a request to store an item.

    Raises:
        TypeError: a keyword is not an option of the method, or a vector is not a list of numbers.
        ValueError: an attribute is not a JSON value, or the time has no time zone.
    """
    expire_time = options.pop("expire_time", None)
    new_item = item(item_id, text, attributes, expire_time, options.pop("vectors", None))
    return build(pb.UpsertItemRequest, UpsertItemOptions, options, catalog=catalog, item=new_item)


def update_item(
    catalog: str, item_id: str, **options: Unpack[UpdateItemOptions]
) -> pb.UpdateItemRequest:
    """Build a request to change the fields of an item that are given, or those of the mask.

    Raises:
        TypeError: a keyword is not an option of the method, or a vector is not a list of numbers.
        ValueError: an attribute is not a JSON value, the time has no time zone, or the mask is a
            single string.
    """
    mask = build_mask(
        options.pop("update_mask", None), options, ("text", "attributes", "expire_time", "vectors")
    )
    new_item = item(
        item_id,
        options.pop("text", ""),
        options.pop("attributes", None),
        options.pop("expire_time", None),
        options.pop("vectors", None),
    )
    return build(
        pb.UpdateItemRequest,
        UpdateItemOptions,
        options,
        catalog=catalog,
        item=new_item,
        update_mask=mask,
    )


def batch_delete_items(
    catalog: str, item_ids: Iterable[str] | None, **options: Unpack[BatchDeleteItemsOptions]
) -> pb.BatchDeleteItemsRequest:
    """Build a request to delete items by their ids or by a filter.

    Raises:
        TypeError: a keyword is not an option of the method.
        ValueError: not exactly one of ids and filter is given, or the ids are a single string.
    """
    check_options(BatchDeleteItemsOptions, options)
    if (item_ids is None) == (options.get("where") is None):
        raise ValueError("give exactly one of item_ids and where")
    if item_ids is not None:
        check_list("item_ids", item_ids)
    ids = None if item_ids is None else pb.ItemIds(item_ids=item_ids)
    return build(
        pb.BatchDeleteItemsRequest, BatchDeleteItemsOptions, options, catalog=catalog, ids=ids
    )


def update_user(
    catalog: str, user_id: str, **options: Unpack[UpdateUserOptions]
) -> pb.UpdateUserRequest:
    """Build a request to change the fields of a user that are given, or those of the mask.

    Raises:
        TypeError: a keyword is not an option of the method.
        ValueError: a list of the user or the mask is a single string.
    """
    mask = build_mask(options.pop("update_mask", None), options, ("preferences", "liked_items"))
    new_user = user(user_id, options.pop("preferences", ()), options.pop("liked_items", ()))
    return build(
        pb.UpdateUserRequest,
        UpdateUserOptions,
        options,
        catalog=catalog,
        user=new_user,
        update_mask=mask,
    )


def build_mask(
    update_mask: Sequence[str] | None, options: Mapping[str, object], fields: Iterable[str]
) -> FieldMask | None:
    """Return the mask of an update: by default, the fields that are among the options."""
    if update_mask is None:
        update_mask = [name for name in fields if name in options]
    check_list("update_mask", update_mask)
    return FieldMask(paths=update_mask) if update_mask else None
