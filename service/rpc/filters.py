"""Filters from wire messages."""

from __future__ import annotations

from akin.v1 import filter_pb2
from google.protobuf import struct_pb2

from service.domain.filters import (
    Condition,
    ContainsAny,
    Equals,
    Exists,
    Filter,
    OneOf,
    Range,
)
from service.domain.values import JsonValue


def filter_(message: filter_pb2.Filter) -> Filter:
    """The filter a caller sent; what its types do not promise is left for the checks to find."""
    return Filter(
        tuple(map(_condition, message.all)),
        tuple(map(_condition, message.any)),
        tuple(map(_condition, message.none)),
    )


def _condition(message: filter_pb2.Condition) -> Condition:
    return Condition(message.attribute, _test(message))


def _test(
    message: filter_pb2.Condition,
) -> Equals | OneOf | ContainsAny | Range | Exists | Filter | None:
    match message.WhichOneof("test"):
        case "equals":
            return Equals(_value(message.equals))
        case "one_of":
            return OneOf(_values(message.one_of))
        case "contains_any":
            return ContainsAny(_values(message.contains_any))
        case "range":
            return _range(message.range)
        case "exists":
            return Exists(message.exists)
        case "filter":
            return filter_(message.filter)
    return None


def _range(message: filter_pb2.Range) -> Range:
    return Range(
        message.gt if message.HasField("gt") else None,
        message.gte if message.HasField("gte") else None,
        message.lt if message.HasField("lt") else None,
        message.lte if message.HasField("lte") else None,
    )


def _values(message: struct_pb2.ListValue) -> tuple[JsonValue, ...]:
    return tuple(map(_value, message.values))


def _value(message: struct_pb2.Value) -> JsonValue:
    """A value; objects and unset ones become None, which no test takes."""
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            return message.number_value
        case "bool_value":
            return message.bool_value
        case "list_value":
            return _values(message.list_value)
    return None
