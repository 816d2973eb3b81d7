"""Between the messages of items and domain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from akin.v1 import embedding_usage_pb2, item_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf import struct_pb2, timestamp_pb2

from service import errors
from service.api.messages.filters import read_filter
from service.api.messages.pages import read_page_token, write_page_token
from service.api.status import status
from service.domain import limits
from service.domain.filters import Filter, filter_violations
from service.domain.items import Item, ItemState, JsonValue, StoredItem
from service.domain.usage import EmbeddingUsage
from service.domain.validation import (
    attributes_violations,
    expire_time_violations,
    id_violations,
    ids_violations,
    item_violations,
    page_violations,
    read_violations,
    text_violations,
    update_mask_violations,
    write_violations,
)
from service.domain.violations import Violation
from service.domain.writes import ItemField, ItemsDeletion, ItemUpdate, ItemUpsert

LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z, where Timestamp ends
NANOS_PER_SECOND = 1_000_000_000

ATTRIBUTE_PREFIX = "attributes."

_STATES = {
    ItemState.INDEXED: item_pb2.ITEM_STATE_INDEXED,
    ItemState.PENDING: item_pb2.ITEM_STATE_PENDING,
}


# Returns nanoseconds since 1970 UTC.
Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class ItemListQuery:
    """A page of items: those after `after`, in ascending byte order of ids."""

    after: str
    page_size: int
    filter: Filter | None


def parse_upsert_item(request: pb.UpsertItemRequest, clock_ns: Clock) -> ItemUpsert:
    """Return the item to store.

    Raises:
        InvalidRequest: with every violation.
    """
    unreadable: list[Violation] = []
    item = read_item(request.item, unreadable)
    expected = request.expected_sequence if request.HasField("expected_sequence") else None
    now_us = _now_us(item, clock_ns)
    violations = [
        *write_violations(request.catalog, expected),
        *item_violations(item, "item", now_us),
        *unreadable,
    ]
    if violations:
        raise errors.InvalidRequest(violations)
    return ItemUpsert(item, request.require_indexed, expected)


def parse_update_item(request: pb.UpdateItemRequest, clock_ns: Clock) -> ItemUpdate:
    """Return the changes of an item.

    Raises:
        InvalidRequest: with every violation.
    """
    expected = request.expected_sequence if request.HasField("expected_sequence") else None
    violations = [
        *write_violations(request.catalog, expected, min_expected=1),
        *id_violations(request.item.item_id, "item.item_id"),
    ]
    paths = _read_update_paths(request, violations)
    fields = frozenset(ItemField(path) for path in paths if not path.startswith(ATTRIBUTE_PREFIX))
    names = {
        path.removeprefix(ATTRIBUTE_PREFIX) for path in paths - {name.value for name in fields}
    }
    if ItemField.ATTRIBUTES in fields:
        names = set()
    item, attributes = _read_update_values(request.item, fields, names, violations)
    if ItemField.TEXT in fields:
        violations += text_violations(item.text, "item.text")
    violations += expire_time_violations(item, "item", _now_us(item, clock_ns))
    violations += attributes_violations(item.attributes, "item.attributes")
    violations += attributes_violations(attributes, "item.attributes")
    if violations:
        raise errors.InvalidRequest(violations)
    removed = frozenset(names - attributes.keys())
    return ItemUpdate(item, fields, attributes, removed, request.require_indexed, expected)


def _read_update_values(
    message: item_pb2.Item,
    fields: frozenset[ItemField],
    names: set[str],
    violations: list[Violation],
) -> tuple[Item, dict[str, JsonValue]]:
    """Return an item with only the fields in the mask, and the single attributes in the mask.

    Other fields are not read, because the contract ignores even those without meaning.
    """
    values = message.attributes.fields
    all_attributes = values if ItemField.ATTRIBUTES in fields else {}
    item = Item(
        message.item_id,
        message.text if ItemField.TEXT in fields else "",
        _read_attributes(all_attributes, violations),
        _read_expire_time(message, violations) if ItemField.EXPIRE_TIME in fields else None,
    )
    attributes = {name: values[name] for name in values if name in names}
    return item, _read_attributes(attributes, violations)


def _read_update_paths(request: pb.UpdateItemRequest, violations: list[Violation]) -> set[str]:
    """Return the fields and attributes to change; by default the fields that are set."""
    paths = set(request.update_mask.paths)
    violations += update_mask_violations(request.update_mask.paths)
    fields = {field.value for field in ItemField}
    if paths == {"*"}:
        return fields
    if not paths:
        item = request.item
        is_set = {
            "text": bool(item.text),
            "attributes": item.HasField("attributes"),
            "expire_time": item.HasField("expire_time"),
        }
        paths = {name for name in fields if is_set[name]}
        if not paths:
            rule = "must have a path, or the item must have a field to change"
            violations.append(Violation("update_mask", rule))
    valid_paths = {path for path in paths if path in fields or _names_attribute(path)}
    if paths - valid_paths - {"*"}:
        rule = "must have only the paths text, attributes, attributes.KEY, expire_time or *"
        violations.append(Violation("update_mask", rule))
    return valid_paths


def _names_attribute(path: str) -> bool:
    return path.startswith(ATTRIBUTE_PREFIX) and path != ATTRIBUTE_PREFIX


def parse_import_items(
    request: pb.ImportItemsRequest, clock_ns: Clock
) -> list[Item | errors.InvalidRequest]:
    """Return each item of a message, or why it is invalid.

    Raises:
        InvalidRequest: the catalog is invalid, or there are too many items.
    """
    violations = [*write_violations(request.catalog)]
    if len(request.items) > limits.IMPORT_ITEMS:
        rule = f"must have at most {limits.IMPORT_ITEMS} entries"
        violations.append(Violation("items", rule))
    if violations:
        raise errors.InvalidRequest(violations)
    return [_parse_import_item(message, clock_ns) for message in request.items]


def _parse_import_item(message: item_pb2.Item, clock_ns: Clock) -> Item | errors.InvalidRequest:
    unreadable: list[Violation] = []
    item = read_item(message, unreadable)
    violations = [*item_violations(item, "item", _now_us(item, clock_ns)), *unreadable]
    return errors.InvalidRequest(violations) if violations else item


def _now_us(item: Item, clock_ns: Clock) -> int:
    """Return the time in microseconds if the item expires; otherwise it does not matter."""
    return 0 if item.expire_time_us is None else clock_ns() // 1_000


def parse_get_item(request: pb.GetItemRequest) -> str:
    """Return the id of the item.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid(
        (
            *read_violations(request.catalog, request.min_sequence),
            *id_violations(request.item_id, "item_id"),
        )
    )
    return request.item_id


def parse_batch_get_items(request: pb.BatchGetItemsRequest) -> list[str]:
    """Return the distinct ids of the items, in order.

    Raises:
        InvalidRequest: with every violation.
    """
    item_ids = request.item_ids
    errors.raise_if_invalid(
        (
            *read_violations(request.catalog, request.min_sequence),
            *ids_violations(item_ids, limits.BATCH_ITEMS, "item_ids"),
        )
    )
    return list(dict.fromkeys(item_ids))


def parse_list_items(request: pb.ListItemsRequest) -> ItemListQuery:
    """Return which items to list.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*read_violations(request.catalog, request.min_sequence)]
    after = read_page_token(
        request.page_token, request.catalog, _serialize_filter(request), violations
    )
    page_size = request.page_size or limits.PAGE_ITEMS_DEFAULT
    filter_ = read_filter(request.filter) if request.HasField("filter") else None
    violations += page_violations(page_size, filter_)
    if violations:
        raise errors.InvalidRequest(violations)
    return ItemListQuery(after, page_size, filter_)


def parse_delete_item(request: pb.DeleteItemRequest) -> str:
    """Return the id of the item.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid(
        (*write_violations(request.catalog), *id_violations(request.item_id, "item_id"))
    )
    return request.item_id


def parse_batch_delete_items(request: pb.BatchDeleteItemsRequest) -> ItemsDeletion:
    """Return which items to delete.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*write_violations(request.catalog)]
    selector = request.WhichOneof("selector")
    item_ids = request.ids.item_ids
    violations += ids_violations(item_ids, limits.BATCH_ITEMS, "ids.item_ids")
    filter_ = read_filter(request.filter) if selector == "filter" else None
    if filter_ is not None:
        violations += filter_violations(filter_)
        if filter_ == Filter():
            violations.append(Violation("filter", "must have a condition"))
    elif selector is None:
        violations.append(Violation("selector", "must be one of ids, filter"))
    if violations:
        raise errors.InvalidRequest(violations)
    return ItemsDeletion(tuple(dict.fromkeys(item_ids)), filter_, request.validate_only)


def read_item(message: item_pb2.Item, violations: list[Violation]) -> Item:
    """Return the item of a message; values without meaning are added to `violations`."""
    attributes = _read_attributes(message.attributes.fields, violations)
    expire_time_us = _read_expire_time(message, violations)
    return Item(message.item_id, message.text, attributes, expire_time_us)


def _read_attributes(
    values: Mapping[str, struct_pb2.Value], violations: list[Violation]
) -> dict[str, JsonValue]:
    return {
        name: _read_json(value, f"item.attributes.{name}", violations)
        for name, value in values.items()
    }


def _read_expire_time(message: item_pb2.Item, violations: list[Violation]) -> int | None:
    if not message.HasField("expire_time"):
        return None
    return read_time(message.expire_time, "item.expire_time", violations)


def item_message(stored: StoredItem) -> item_pb2.Item:
    """Return the message of a stored item."""
    message = item_pb2.Item(
        item_id=stored.item.item_id,
        text=stored.item.text,
        state=_STATES[stored.state],
        sequence=stored.sequence,
        update_time=timestamp(stored.update_time_us),
        pending_reason=stored.pending_reason,
        pending_message=stored.pending_message,
    )
    if stored.item.attributes:
        message.attributes.update(stored.item.attributes)
    if stored.item.expire_time_us is not None:
        message.expire_time.CopyFrom(timestamp(stored.item.expire_time_us))
    return message


def list_items_response(
    items: Sequence[StoredItem], last_id: str, total: int, request: pb.ListItemsRequest
) -> pb.ListItemsResponse:
    """Return a page of items; `last_id` is empty on the last page."""
    return pb.ListItemsResponse(
        items=map(item_message, items),
        next_page_token=write_page_token(last_id, request.catalog, _serialize_filter(request)),
        total_size=total,
    )


def item_result(item_id: str, outcome: StoredItem | errors.AkinError | None) -> item_pb2.ItemResult:
    """Return the outcome for one imported item; None means that it is valid and not stored."""
    if outcome is None:
        return item_pb2.ItemResult(item_id=item_id)
    item_id = item_id[: limits.ID_BYTES]  # a longer id is invalid and need not return whole
    if isinstance(outcome, StoredItem):
        return item_pb2.ItemResult(
            item_id=item_id, sequence=outcome.sequence, state=_STATES[outcome.state]
        )
    error = status(outcome)
    return item_pb2.ItemResult(
        item_id=item_id, code=error.code, message=error.message, reason=outcome.reason
    )


def _serialize_filter(request: pb.ListItemsRequest) -> bytes:
    return request.filter.SerializeToString(deterministic=True)


def _read_json(value: struct_pb2.Value, path: str, violations: list[Violation]) -> JsonValue:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_read_json(entry, path, violations) for entry in value.list_value.values]
        case "struct_value":
            fields = value.struct_value.fields
            return {
                name: _read_json(entry, f"{path}.{name}", violations)
                for name, entry in fields.items()
            }
        case None:
            violations.append(Violation(path, "must have a value"))
    return None


def read_time(time: timestamp_pb2.Timestamp, path: str, violations: list[Violation]) -> int | None:
    """Return a time in microseconds since 1970 UTC; one out of range is added to `violations`."""
    if 0 <= time.seconds <= LAST_SECOND and 0 <= time.nanos < NANOS_PER_SECOND:
        return time.seconds * 1_000_000 + time.nanos // 1_000
    violations.append(Violation(path, "must be a time between the years 1970 and 9999"))
    return None


def timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    """Return the message of a time in microseconds since 1970 UTC."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=microseconds * 1_000)


def usage_message(usage: EmbeddingUsage) -> embedding_usage_pb2.EmbeddingUsage:
    """Return the message of an embedding usage."""
    return embedding_usage_pb2.EmbeddingUsage(
        text_count=usage.text_count,
        cached_text_count=usage.cached_text_count,
        prompt_token_count=usage.prompt_tokens,
        cost_usd=usage.cost_usd,
        embedded_text_count=usage.embedded_text_count,
    )
