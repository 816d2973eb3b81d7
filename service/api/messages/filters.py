"""Filters from wire messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from akin.v1 import filter_pb2
from google.protobuf import struct_pb2

from service.domain import limits
from service.domain.filters import (
    Condition,
    ContainsAny,
    Equals,
    Exists,
    Filter,
    OneOf,
    Range,
)
from service.domain.items import JsonValue


def filter_(message: filter_pb2.Filter) -> Filter:
    """The filter a caller sent; what its types do not promise is left for the checks to find.

    Of too many conditions or values only so many are read that the checks find them too many.
    """
    return _filter(message, count(1))


def _filter(message: filter_pb2.Filter, numbers: Iterator[int]) -> Filter:
    return Filter(
        tuple(_conditions(message.all, numbers)),
        tuple(_conditions(message.any, numbers)),
        tuple(_conditions(message.none, numbers)),
    )


def _conditions(
    messages: Iterable[filter_pb2.Condition], numbers: Iterator[int]
) -> Iterator[Condition]:
    for message in messages:
        if next(numbers) > limits.FILTER_CONDITIONS + 1:
            return
        yield Condition(message.attribute, _test(message, numbers))


def _test(
    message: filter_pb2.Condition, numbers: Iterator[int]
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
            return _filter(message.filter, numbers)
    return None


def _range(message: filter_pb2.Range) -> Range:
    return Range(
        message.gt if message.HasField("gt") else None,
        message.gte if message.HasField("gte") else None,
        message.lt if message.HasField("lt") else None,
        message.lte if message.HasField("lte") else None,
    )


def _values(message: struct_pb2.ListValue) -> tuple[JsonValue, ...]:
    return tuple(map(_value, message.values[: limits.FILTER_VALUES + 1]))


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
