"""Between wire messages and domain values."""

from __future__ import annotations

import base64
import binascii
from zlib import crc32

from akin.v1 import (
    embedding_usage_pb2,
    item_pb2,
    recommender_service_pb2,
    user_pb2,
)
from google.protobuf import struct_pb2, timestamp_pb2

from service import errors
from service.api.messages.filters import filter_
from service.api.status import status
from service.domain import limits
from service.domain.generations import DEFAULT_CATALOG
from service.domain.items import Item, ItemState, JsonValue, StoredItem
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    Explanation,
    ItemSource,
    Query,
    Recommendations,
    Source,
    TextSource,
    UserSource,
)
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem, Preference, StoredUser, User
from service.domain.violations import Violation

Violations = list[Violation]

_STATES = {
    ItemState.INDEXED: item_pb2.ITEM_STATE_INDEXED,
    ItemState.PENDING: item_pb2.ITEM_STATE_PENDING,
}
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, where Timestamp ends
_NANOS = 1_000_000_000


def item(message: item_pb2.Item, found: Violations) -> Item:
    """The item a caller sent; what its types do not promise is added to `found`."""
    attributes = {
        key: _json(value, f"item.attributes.{key}", found)
        for key, value in message.attributes.fields.items()
    }
    expire_time_us = None
    if message.HasField("expire_time"):
        expire_time_us = _microseconds(message.expire_time, "item.expire_time", found)
    return Item(message.item_id, message.text, attributes, expire_time_us)


def item_message(stored: StoredItem) -> item_pb2.Item:
    """An item as the store holds it."""
    message = item_pb2.Item(
        item_id=stored.item.item_id,
        text=stored.item.text,
        state=_STATES[stored.state],
        sequence=stored.sequence,
        update_time=timestamp(stored.update_time_us),
        pending_reason=stored.pending_reason,
    )
    if stored.item.attributes:
        message.attributes.update(stored.item.attributes)
    if stored.item.expire_time_us is not None:
        message.expire_time.CopyFrom(timestamp(stored.item.expire_time_us))
    return message


def item_result(item_id: str, outcome: StoredItem | errors.AkinError | None) -> item_pb2.ItemResult:
    """What became of one imported item; None: it was found good, and not stored."""
    if outcome is None:
        return item_pb2.ItemResult(item_id=item_id)
    item_id = item_id[: limits.ID_BYTES]  # a longer one was refused, and need not come back whole
    if isinstance(outcome, StoredItem):
        return item_pb2.ItemResult(
            item_id=item_id, sequence=outcome.sequence, state=_STATES[outcome.state]
        )
    made = status(outcome)
    return item_pb2.ItemResult(
        item_id=item_id, code=made.code, message=made.message, reason=outcome.reason
    )


def user(message: user_pb2.User) -> User:
    """The user a caller sent; weights that are 0 become 1."""
    return User(
        message.user_id,
        tuple(
            Preference(each.text, each.weight or 1.0)
            for each in message.preferences[: limits.PREFERENCES + 1]
        ),
        tuple(
            LikedItem(each.item_id, each.weight or 1.0)
            for each in message.liked_items[: limits.LIKED_ITEMS + 1]
        ),
    )


def user_message(stored: StoredUser) -> user_pb2.User:
    """A user as the store holds it."""
    return user_pb2.User(
        user_id=stored.user.user_id,
        preferences=[
            user_pb2.Preference(text=each.text, weight=each.weight)
            for each in stored.user.preferences
        ],
        liked_items=[
            user_pb2.LikedItem(item_id=each.item_id, weight=each.weight)
            for each in stored.user.liked_items
        ],
        update_time=timestamp(stored.update_time_us),
    )


def query(message: recommender_service_pb2.RecommendSimilarRequest) -> Query:
    """The query a caller sent; of lists that are too long only so much that they are found so."""
    return Query(
        source=_source(message),
        limit=message.limit or limits.RECOMMENDATIONS_DEFAULT,
        exclude_item_ids=tuple(message.exclude_item_ids[: limits.EXCLUDED_ITEMS + 1]),
        min_score=message.min_score if message.HasField("min_score") else None,
        full=message.view == recommender_service_pb2.ITEM_VIEW_FULL,
        min_sequence=message.min_sequence,
        exact=message.exact,
        filter=filter_(message.filter) if message.HasField("filter") else None,
        diversity=message.diversity,
        max_similarity=message.max_similarity if message.HasField("max_similarity") else None,
        explain=message.explain,
    )


def answer_message(answer: Recommendations) -> recommender_service_pb2.RecommendSimilarResponse:
    """The reply to a query."""
    message = recommender_service_pb2.RecommendSimilarResponse(
        missing_item_ids=answer.missing_item_ids,
        sequence=answer.sequence,
    )
    if answer.usage.text_count:
        message.usage.CopyFrom(usage_message(answer.usage))
    add = message.recommendations.add
    for each in answer.recommendations:
        added = add(item_id=each.item_id, score=each.score)
        if each.item is not None:
            added.item.CopyFrom(item_message(each.item))
        if each.explanations:
            added.reasons.extend(map(_reason_message, each.explanations))
    return message


def usage_message(usage: EmbeddingUsage) -> embedding_usage_pb2.EmbeddingUsage:
    """What embedding took."""
    return embedding_usage_pb2.EmbeddingUsage(
        texts=usage.text_count,
        cached_texts=usage.cached_text_count,
        prompt_tokens=usage.prompt_tokens,
        cost_usd=usage.cost_usd,
    )


def page_token(last_id: str, request: recommender_service_pb2.ListItemsRequest) -> str:
    """The token that continues the list of `request` after `last_id`; empty stays empty."""
    if not last_id:
        return ""
    return base64.urlsafe_b64encode(_list_mark(request) + last_id.encode()).decode()


def last_id(request: recommender_service_pb2.ListItemsRequest, found: Violations) -> str:
    """The id that a page token continues after; a token of another list is added to `found`."""
    if not request.page_token:
        return ""
    mark = _list_mark(request)
    try:
        token = base64.b64decode(request.page_token, altchars=b"-_", validate=True)
        if token.startswith(mark):
            return token.removeprefix(mark).decode()
    except (binascii.Error, ValueError):
        pass
    found.append(Violation("page_token", "must be the next_page_token of the same list"))
    return ""


def _list_mark(request: recommender_service_pb2.ListItemsRequest) -> bytes:
    """What tells the tokens of one list from those of another."""
    wanted = request.filter.SerializeToString(deterministic=True)
    return crc32((request.catalog or DEFAULT_CATALOG).encode() + b"\0" + wanted).to_bytes(4)


def _source(message: recommender_service_pb2.RecommendSimilarRequest) -> Source | None:
    match message.WhichOneof("source"):
        case "item_id":
            return ItemSource(message.item_id)
        case "user_id":
            return UserSource(message.user_id)
        case "text":
            return TextSource(message.text)
        case "examples":
            return ExamplesSource(
                tuple(map(_example, message.examples.positive[: limits.EXAMPLES + 1])),
                tuple(map(_example, message.examples.negative[: limits.EXAMPLES + 1])),
            )
        case _:
            return None


def _example(message: recommender_service_pb2.Example) -> Example:
    weight = message.weight or 1.0
    match message.WhichOneof("example"):
        case "item_id":
            return Example(ItemSource(message.item_id), weight)
        case "text":
            return Example(TextSource(message.text), weight)
    return Example(None, weight)


def _reason_message(reason: Explanation) -> recommender_service_pb2.Reason:
    message = recommender_service_pb2.Reason(similarity=reason.similarity)
    if isinstance(reason.source, ItemSource):
        message.item_id = reason.source.item_id
    else:
        message.preference_text = reason.source.text
    return message


def _json(value: struct_pb2.Value, path: str, found: Violations) -> JsonValue:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_json(each, path, found) for each in value.list_value.values]
        case "struct_value":
            fields = value.struct_value.fields
            return {key: _json(each, f"{path}.{key}", found) for key, each in fields.items()}
        case None:
            found.append(Violation(path, "must have a value"))
    return None


def _microseconds(time: timestamp_pb2.Timestamp, path: str, found: Violations) -> int | None:
    if 0 <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < _NANOS:
        return time.seconds * 1_000_000 + time.nanos // 1_000
    found.append(Violation(path, "must be a time between the years 1970 and 9999"))
    return None


def timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    """A time in microseconds since 1970 UTC."""
    seconds, rest = divmod(time_us, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1_000)
