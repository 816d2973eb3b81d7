"""From the message of UpdateItem to the changes of an item."""

from __future__ import annotations

from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.api.messages.item_values import (
    Clock,
    read_attributes,
    read_clock_us,
    read_expire_time,
    read_own_vectors,
)
from service.domain.attributes_validation import attributes_violations
from service.domain.items import Item, JsonValue
from service.domain.own_vectors import own_vectors_violations
from service.domain.validation import (
    expire_time_violations,
    id_violations,
    text_violations,
    update_mask_violations,
    write_violations,
)
from service.domain.violations import Violation
from service.domain.writes import ItemField, ItemUpdate

ATTRIBUTE_PREFIX = "attributes."


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
    violations += expire_time_violations(item, "item", read_clock_us(item, clock_ns))
    violations += attributes_violations(item.attributes, "item.attributes")
    violations += attributes_violations(attributes, "item.attributes")
    violations += own_vectors_violations(item.vectors, "item.vectors")
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
        read_attributes(all_attributes, violations),
        read_expire_time(message, violations) if ItemField.EXPIRE_TIME in fields else None,
        read_own_vectors(message) if ItemField.VECTORS in fields else (),
    )
    attributes = {name: values[name] for name in values if name in names}
    return item, read_attributes(attributes, violations)


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
            "vectors": bool(item.vectors),
        }
        paths = {name for name in fields if is_set[name]}
        if not paths:
            rule = "must have a path, or the item must have a field to change"
            violations.append(Violation("update_mask", rule))
    valid_paths = {path for path in paths if path in fields or _names_attribute(path)}
    if paths - valid_paths - {"*"}:
        rule = (
            "must have only the paths text, attributes, attributes.KEY, expire_time, vectors or *"
        )
        violations.append(Violation("update_mask", rule))
    return valid_paths


def _names_attribute(path: str) -> bool:
    return path.startswith(ATTRIBUTE_PREFIX) and path != ATTRIBUTE_PREFIX
