"""Between the messages of items and domain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf import struct_pb2

from service import errors
from service.api.messages.fields import (
    check_catalog,
    check_expected_sequence,
    check_read,
    check_update_mask,
    read_page_token,
    read_time,
    timestamp,
    write_page_token,
)
from service.api.messages.filters import read_filter, read_optional_filter
from service.api.status import status
from service.domain import limits
from service.domain.filters import Filter, filter_violations
from service.domain.items import Item, ItemState, JsonValue, StoredItem
from service.domain.validation import (
    attributes_violations,
    expire_time_violations,
    id_violations,
    ids_violations,
    item_violations,
    page_violations,
    text_violations,
)
from service.domain.violations import Violation
from service.domain.writes import ItemField, ItemsDeletion, ItemUpdate, ItemUpsert

ATTRIBUTE_PREFIX = "attributes."

_STATES = {
    ItemState.INDEXED: item_pb2.ITEM_STATE_INDEXED,
    ItemState.PENDING: item_pb2.ITEM_STATE_PENDING,
}


@dataclass(frozen=True, slots=True)
class ItemListQuery:
    """A page of items: those after `after`, in ascending byte order of ids."""

    after: str
    page_size: int
    filter: Filter | None


def parse_upsert_item(request: pb.UpsertItemRequest, now_us: int) -> ItemUpsert:
    """Return the item to store.

    Raises:
        InvalidRequest: with every violation.
    """
    unreadable: list[Violation] = []
    item = read_item(request.item, unreadable)
    violations = [*check_catalog(request), *item_violations(item, "item", now_us), *unreadable]
    expected = request.expected_sequence if request.HasField("expected_sequence") else None
    violations += check_expected_sequence(expected, minimum=0)
    errors.raise_if_invalid(violations)
    return ItemUpsert(item, request.require_indexed, expected)


def parse_update_item(request: pb.UpdateItemRequest, now_us: int) -> ItemUpdate:
    """Return the changes of an item.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*check_catalog(request), *id_violations(request.item.item_id, "item.item_id")]
    item = read_item(request.item, violations)
    paths = _read_update_paths(request, violations)
    fields = frozenset(ItemField(path) for path in paths if not path.startswith(ATTRIBUTE_PREFIX))
    names = {
        path.removeprefix(ATTRIBUTE_PREFIX) for path in paths - {name.value for name in fields}
    }
    if ItemField.TEXT in fields:
        violations += text_violations(item.text, "item.text")
    if ItemField.EXPIRE_TIME in fields:
        violations += expire_time_violations(item, "item", now_us)
    if ItemField.ATTRIBUTES in fields:
        violations += attributes_violations(item.attributes, "item.attributes")
        names = set()
    attributes = {name: value for name, value in item.attributes.items() if name in names}
    violations += attributes_violations(attributes, "item.attributes")
    expected = request.expected_sequence if request.HasField("expected_sequence") else None
    violations += check_expected_sequence(expected, minimum=1)
    errors.raise_if_invalid(violations)
    removed = frozenset(names - attributes.keys())
    return ItemUpdate(item, fields, attributes, removed, request.require_indexed, expected)


def _read_update_paths(request: pb.UpdateItemRequest, violations: list[Violation]) -> set[str]:
    """Return the fields and attributes to change; by default the fields that are set."""
    paths = set(request.update_mask.paths)
    violations += check_update_mask(request.update_mask.paths)
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
    known = {path for path in paths if path in fields or _names_attribute(path)}
    if paths - known - {"*"}:
        rule = "must have only the paths text, attributes, attributes.KEY, expire_time or *"
        violations.append(Violation("update_mask", rule))
    return known


def _names_attribute(path: str) -> bool:
    return path.startswith(ATTRIBUTE_PREFIX) and path != ATTRIBUTE_PREFIX


def parse_import_items(
    request: pb.ImportItemsRequest, now_us: int
) -> list[Item | errors.InvalidRequest]:
    """Return each item of a message, or why it is invalid.

    Raises:
        InvalidRequest: the catalog is invalid, or there are too many items.
    """
    violations = [*check_catalog(request)]
    if len(request.items) > limits.IMPORT_ITEMS:
        rule = f"must have at most {limits.IMPORT_ITEMS} entries"
        violations.append(Violation("items", rule))
    errors.raise_if_invalid(violations)
    return [_parse_import_item(message, now_us) for message in request.items]


def _parse_import_item(message: item_pb2.Item, now_us: int) -> Item | errors.InvalidRequest:
    unreadable: list[Violation] = []
    item = read_item(message, unreadable)
    violations = [*item_violations(item, "item", now_us), *unreadable]
    return errors.InvalidRequest(violations) if violations else item


def parse_get_item(request: pb.GetItemRequest) -> str:
    """Return the id of the item.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid((*check_read(request), *id_violations(request.item_id, "item_id")))
    return request.item_id


def parse_batch_get_items(request: pb.BatchGetItemsRequest) -> list[str]:
    """Return the distinct ids of the items, in order.

    Raises:
        InvalidRequest: with every violation.
    """
    item_ids = request.item_ids
    errors.raise_if_invalid(
        (*check_read(request), *ids_violations(item_ids, limits.BATCH_ITEMS, "item_ids"))
    )
    return list(dict.fromkeys(item_ids))


def parse_list_items(request: pb.ListItemsRequest) -> ItemListQuery:
    """Return which items to list.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*check_read(request)]
    after = read_page_token(
        request.page_token, request.catalog, _serialize_filter(request), violations
    )
    page_size = request.page_size or limits.PAGE_ITEMS_DEFAULT
    filter_ = read_optional_filter(request)
    violations += page_violations(page_size, filter_)
    errors.raise_if_invalid(violations)
    return ItemListQuery(after, page_size, filter_)


def parse_delete_item(request: pb.DeleteItemRequest) -> str:
    """Return the id of the item.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid((*check_catalog(request), *id_violations(request.item_id, "item_id")))
    return request.item_id


def parse_batch_delete_items(request: pb.BatchDeleteItemsRequest) -> ItemsDeletion:
    """Return which items to delete.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [*check_catalog(request)]
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
    errors.raise_if_invalid(violations)
    return ItemsDeletion(tuple(dict.fromkeys(item_ids)), filter_, request.validate_only)


def read_item(message: item_pb2.Item, violations: list[Violation]) -> Item:
    """Return the item of a message; values without meaning are added to `violations`."""
    attributes = {
        name: _read_json(value, f"item.attributes.{name}", violations)
        for name, value in message.attributes.fields.items()
    }
    expire_time_us = None
    if message.HasField("expire_time"):
        expire_time_us = read_time(message.expire_time, "item.expire_time", violations)
    return Item(message.item_id, message.text, attributes, expire_time_us)


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
