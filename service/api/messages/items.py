"""Between the messages of items and domain values."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.api.messages.filters import read_filter
from service.api.messages.item_values import Clock, read_clock_us, read_item
from service.api.messages.pages import read_page_token, write_page_token
from service.api.messages.timestamps import timestamp
from service.api.status import status
from service.domain import limits
from service.domain.filters import Filter, filter_violations
from service.domain.items import Item, ItemState, StoredItem
from service.domain.validation import (
    id_violations,
    ids_violations,
    item_violations,
    page_violations,
    read_violations,
    write_violations,
)
from service.domain.violations import Violation
from service.domain.writes import ItemsDeletion, ItemUpsert

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


def parse_upsert_item(request: pb.UpsertItemRequest, clock_ns: Clock) -> ItemUpsert:
    """Return the item to store.

    Raises:
        InvalidRequest: with every violation.
    """
    unreadable: list[Violation] = []
    item = read_item(request.item, unreadable)
    expected = request.expected_sequence if request.HasField("expected_sequence") else None
    now_us = read_clock_us(item, clock_ns)
    violations = [
        *write_violations(request.catalog, expected),
        *item_violations(item, "item", now_us),
        *unreadable,
    ]
    if violations:
        raise errors.InvalidRequest(violations)
    return ItemUpsert(item, request.require_indexed, expected)


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
    violations = [*item_violations(item, "item", read_clock_us(item, clock_ns)), *unreadable]
    return errors.InvalidRequest(violations) if violations else item


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
        has_own_vectors=stored.has_own_vectors,
    )
    if stored.item.attributes:
        message.attributes.update(stored.item.attributes)
    for vector in stored.vectors:
        message.vectors.add(values=array("f", vector))
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
