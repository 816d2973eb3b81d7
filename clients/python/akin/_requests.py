"""Requests from plain Python values, for both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar, Unpack

from google.protobuf.message import Message

from akin.filters import all_of
from akin.options import CreateCatalogOptions, ModelOptions, UpsertItemOptions
from akin.v1 import catalog_service_pb2, filter_pb2, item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb

SOURCES = ("item_id", "user_id", "text", "examples")

Request = TypeVar("Request", bound=Message)


def item(
    item_id: str,
    text: str,
    attributes: Mapping[str, Any] | None = None,
    expire_time: datetime | None = None,
) -> item_pb2.Item:
    """Returns an item to store.

    Args:
        item_id: your id of the item.
        text: text that describes the item.
        attributes: JSON values to store with the item and to filter by.
        expire_time: when the item stops being recommended; with a time zone.

    Raises:
        ValueError: an attribute is not a JSON value, or the time has no time zone.
    """
    message = item_pb2.Item(item_id=item_id, text=text)
    if attributes:
        message.attributes.update(attributes)
    if expire_time is not None:
        if expire_time.tzinfo is None:
            raise ValueError("expire_time needs a time zone")
        message.expire_time.FromDatetime(expire_time)
    return message


def user(
    user_id: str,
    preferences: Iterable[str | user_pb2.Preference] = (),
    liked_items: Iterable[str | user_pb2.LikedItem] = (),
) -> user_pb2.User:
    """Returns a user to store; a plain string has weight 1."""
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
    """Returns examples to recommend by; a plain string is an item's id.

    Args:
        positive: items or texts to be similar to; use `akin.Example(text=...)` for a text.
        negative: items or texts to be dissimilar to.
    """
    return pb.Examples(positive=map(_example, positive), negative=map(_example, negative))


def _example(example: str | pb.Example) -> pb.Example:
    return pb.Example(item_id=example) if isinstance(example, str) else example


def check_options(known: type, options: Mapping[str, object]) -> None:
    """Checks the keywords that a method received.

    Args:
        known: TypedDict of the method's options.
        options: the keywords.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    for name in options:
        if name not in known.__annotations__:
            names = ", ".join(known.__annotations__)
            raise TypeError(f"unexpected keyword argument {name!r}; the options are {names}")


def build(
    request: Callable[..., Request], known: type, options: Mapping[str, Any], **fields: object
) -> Request:
    """Builds a request from fields and from a method's options.

    An option sets the request's field of the same name, except `where`, which sets `filter`, and
    `full`, which sets `view`.

    Args:
        request: class of the request.
        known: TypedDict of the method's options.
        options: the options that the method received.
        **fields: fields of the request that are not options.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    check_options(known, options)
    values: dict[str, Any] = {**fields, **options}
    if "where" in values:
        values["filter"] = _filter(values.pop("where"))
    if values.pop("full", False):
        values["view"] = pb.ITEM_VIEW_FULL
    return request(**values)


def _filter(
    where: filter_pb2.Filter | filter_pb2.Condition | None,
) -> filter_pb2.Filter | None:
    return all_of(where) if isinstance(where, filter_pb2.Condition) else where


def check_source(options: Mapping[str, object]) -> None:
    """Checks the source of recommendations.

    Raises:
        ValueError: the options do not have exactly one source.
    """
    if sum(options.get(source) is not None for source in SOURCES) != 1:
        raise ValueError("give exactly one of item_id, user_id, text and examples")


def upsert_item(
    catalog: str,
    item_id: str,
    text: str,
    attributes: Mapping[str, Any] | None,
    **options: Unpack[UpsertItemOptions],
) -> pb.UpsertItemRequest:
    """Builds a request to store an item.

    Raises:
        TypeError: a keyword is not an option of the method.
        ValueError: an attribute is not a JSON value, or the time has no time zone.
    """
    expire_time = options.pop("expire_time", None)
    stored = item(item_id, text, attributes, expire_time)
    return build(pb.UpsertItemRequest, UpsertItemOptions, options, catalog=catalog, item=stored)


def create_catalog(
    catalog: str, **options: Unpack[CreateCatalogOptions]
) -> catalog_service_pb2.CreateCatalogRequest:
    """Builds a request to create a catalog.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    check_options(CreateCatalogOptions, options)
    vector_storage = options.pop("vector_storage", catalog_service_pb2.VECTOR_STORAGE_UNSPECIFIED)
    return catalog_service_pb2.CreateCatalogRequest(
        catalog=catalog, embedding=embedding_model(options), vector_storage=vector_storage
    )


def embedding_model(options: ModelOptions) -> catalog_service_pb2.EmbeddingModel | None:
    """Returns the model to embed a catalog with; None leaves the choice to the server.

    Raises:
        TypeError: a keyword is not an option of the method.
    """
    check_options(ModelOptions, options)
    return catalog_service_pb2.EmbeddingModel(**options) if options else None
