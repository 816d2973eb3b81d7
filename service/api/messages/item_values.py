"""The values of items in messages: values without meaning become violations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from akin.v1 import item_pb2
from google.protobuf import struct_pb2

from service.api.messages.timestamps import read_time
from service.domain import limits
from service.domain.items import Item, JsonValue
from service.domain.violations import Violation

# Returns nanoseconds since 1970 UTC.
Clock = Callable[[], int]


def read_item(message: item_pb2.Item, violations: list[Violation]) -> Item:
    """Return the item of a message; values without meaning are added to `violations`."""
    attributes = read_attributes(message.attributes.fields, violations)
    expire_time_us = read_expire_time(message, violations)
    vectors = read_own_vectors(message)
    return Item(message.item_id, message.text, attributes, expire_time_us, vectors)


def read_own_vectors(message: item_pb2.Item) -> tuple[bytes, ...]:
    """Return the vectors of an item as float32 bytes, at most one more than are allowed."""
    vectors = message.vectors[: limits.OWN_VECTORS + 1]
    return tuple(np.array(vector.values, "<f4").tobytes() for vector in vectors)


def read_attributes(
    values: Mapping[str, struct_pb2.Value], violations: list[Violation]
) -> dict[str, JsonValue]:
    """Return attributes; values without meaning are added to `violations`."""
    return {
        name: _read_json(value, f"item.attributes.{name}", violations)
        for name, value in values.items()
    }


def read_expire_time(message: item_pb2.Item, violations: list[Violation]) -> int | None:
    """Return the expire time in microseconds since 1970 UTC, None if the item has none."""
    if not message.HasField("expire_time"):
        return None
    return read_time(message.expire_time, "item.expire_time", violations)


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


def read_clock_us(item: Item, clock_ns: Clock) -> int:
    """Return the time in microseconds if the item expires; otherwise it does not matter."""
    return 0 if item.expire_time_us is None else clock_ns() // 1_000
