"""Requests from plain Python values, the same for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from akin.filters import all_of
from akin.v1 import catalog_service_pb2, filter_pb2, item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb

IMPORT_ITEMS = 250
"""Items per import message: few enough that progress shows, enough that a commit is shared."""

IMPORT_BYTES = 4 * 1024 * 1024


def item(
    item_id: str,
    text: str,
    attributes: Mapping[str, Any] | None = None,
    expire_time: datetime | None = None,
) -> item_pb2.Item:
    """An item to store.

    Args:
        item_id: your name for it.
        text: what it is about.
        attributes: facts that come back with it; values as in JSON.
        expire_time: when it ceases to be recommended; needs a time zone.

    Raises:
        ValueError: an attribute is none of JSON's types, or the time has no zone.
    """
    message = item_pb2.Item(item_id=item_id, text=text)
    if attributes:
        message.attributes.update(attributes)
    if expire_time is not None:
        if expire_time.tzinfo is None:
            raise ValueError("expire_time needs a time zone")
        message.expire_time.FromDatetime(expire_time)
    return message


def examples(
    positive: Iterable[str | pb.Example] = (), negative: Iterable[str | pb.Example] = ()
) -> pb.Examples:
    """Examples to recommend by; a plain string is an item's id.

    Args:
        positive: what to be like; `akin.Example(text=...)` for a text.
        negative: what to be unlike.
    """
    return pb.Examples(
        positive=[_example(each) for each in positive],
        negative=[_example(each) for each in negative],
    )


def _example(example: str | pb.Example) -> pb.Example:
    return pb.Example(item_id=example) if isinstance(example, str) else example


class Remembering(Iterator[pb.ImportItemsRequest]):
    """Hands on messages; `failure` is what making them raised, which gRPC does not tell."""

    def __init__(self, messages: Iterator[pb.ImportItemsRequest]) -> None:
        self._messages = messages
        self.failure: Exception | None = None

    def __next__(self) -> pb.ImportItemsRequest:
        """The next message."""
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as exc:
            self.failure = exc
            raise


def import_messages(
    items: Iterable[item_pb2.Item], catalog: str, *, require_indexed: bool, validate_only: bool
) -> Iterator[pb.ImportItemsRequest]:
    """Import messages of up to IMPORT_ITEMS items and, but for a lone item, IMPORT_BYTES."""
    chunk: list[item_pb2.Item] = []
    size = 0

    def message() -> pb.ImportItemsRequest:
        return pb.ImportItemsRequest(
            catalog=catalog,
            items=chunk,
            require_indexed=require_indexed,
            validate_only=validate_only,
        )

    for each in items:
        length = each.ByteSize()
        if chunk and size + length > IMPORT_BYTES:
            yield message()
            chunk, size = [], 0
        chunk.append(each)
        size += length
        if len(chunk) == IMPORT_ITEMS:
            yield message()
            chunk, size = [], 0
    if chunk:
        yield message()


def upsert_user(
    user_id: str,
    preferences: Iterable[str | user_pb2.Preference],
    liked_items: Iterable[str | user_pb2.LikedItem],
    catalog: str,
) -> pb.UpsertUserRequest:
    """A user to store; plain strings have weight 1."""
    user = user_pb2.User(
        user_id=user_id,
        preferences=[
            user_pb2.Preference(text=each) if isinstance(each, str) else each
            for each in preferences
        ],
        liked_items=[
            user_pb2.LikedItem(item_id=each) if isinstance(each, str) else each
            for each in liked_items
        ],
    )
    return pb.UpsertUserRequest(catalog=catalog, user=user)


class ModelOptions(TypedDict, total=False):
    """What to embed with; what is left out is as in the server's settings.

    Attributes:
        provider: who embeds: local, or what the server is set to use.
        model: the provider's name for the model.
        dimensions: the width to ask the model for; 0 means its own.
        template: what goes around an item's text, with `{text}` in it.
        query_template: the same for texts and tastes that items are looked for with.
    """

    provider: str
    model: str
    dimensions: int
    template: str
    query_template: str


def embedding_model(
    **embedding: Unpack[ModelOptions],
) -> catalog_service_pb2.EmbeddingModel | None:
    """What a catalog is to be embedded with; None if all is left to the server.

    Raises:
        ValueError: there is no such option.
    """
    return catalog_service_pb2.EmbeddingModel(**embedding) if embedding else None


def view(*, full: bool) -> pb.ItemView.ValueType:
    """Whether items themselves are to come back."""
    return pb.ITEM_VIEW_FULL if full else pb.ITEM_VIEW_UNSPECIFIED


def filter_(
    where: filter_pb2.Filter | filter_pb2.Condition | None,
) -> filter_pb2.Filter | None:
    """The filter of a request; a lone condition is a filter that asks for it."""
    return all_of(where) if isinstance(where, filter_pb2.Condition) else where


def recommend_similar(  # noqa: PLR0913  (the call has so many parameters)
    *,
    item_id: str | None,
    user_id: str | None,
    text: str | None,
    examples: pb.Examples | None,
    limit: int,
    where: filter_pb2.Filter | filter_pb2.Condition | None,
    exclude_item_ids: Sequence[str],
    min_score: float | None,
    diversity: float,
    max_similarity: float | None,
    full: bool,
    min_sequence: int,
    exact: bool,
    explain: bool,
    catalog: str,
) -> pb.RecommendSimilarRequest:
    """A question for recommendations.

    Raises:
        ValueError: not exactly one source is given.
    """
    if sum(source is not None for source in (item_id, user_id, text, examples)) != 1:
        raise ValueError("give exactly one of item_id, user_id, text and examples")
    request = pb.RecommendSimilarRequest(
        catalog=catalog,
        examples=examples,
        limit=limit,
        filter=filter_(where),
        exclude_item_ids=exclude_item_ids,
        min_score=min_score,
        diversity=diversity,
        max_similarity=max_similarity,
        view=view(full=full),
        min_sequence=min_sequence,
        exact=exact,
        explain=explain,
    )
    if item_id is not None:
        request.item_id = item_id
    elif user_id is not None:
        request.user_id = user_id
    elif text is not None:
        request.text = text
    return request
