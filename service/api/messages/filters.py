"""Reads filters from messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
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

# Filters that are kept as they were read, since callers often use some of them in turns, and the
# size of the largest one.
MAX_KEPT_FILTERS = 256
MAX_KEPT_FILTER_BYTES = 1_024


def read_filter(message: filter_pb2.Filter) -> Filter:
    """Return the filter of a message, not yet validated.

    Of too many conditions or values, one too many is read, so that validation reports it.
    """
    data = message.SerializeToString()
    if len(data) <= MAX_KEPT_FILTER_BYTES:
        return _read_kept_filter(data)
    return _read_filter(message, count(1))


@lru_cache(MAX_KEPT_FILTERS)
def _read_kept_filter(data: bytes) -> Filter:
    return _read_filter(filter_pb2.Filter.FromString(data), count(1))


def _read_filter(message: filter_pb2.Filter, numbers: Iterator[int]) -> Filter:
    return Filter(
        tuple(_read_conditions(message.all, numbers)),
        tuple(_read_conditions(message.any, numbers)),
        tuple(_read_conditions(message.none, numbers)),
    )


def _read_conditions(
    messages: Iterable[filter_pb2.Condition], numbers: Iterator[int]
) -> Iterator[Condition]:
    for message in messages:
        if next(numbers) > limits.FILTER_CONDITIONS + 1:
            return
        yield Condition(message.attribute, _read_test(message, numbers))


def _read_test(
    message: filter_pb2.Condition, numbers: Iterator[int]
) -> Equals | OneOf | ContainsAny | Range | Exists | Filter | None:
    match message.WhichOneof("test"):
        case "equals":
            return Equals(_read_value(message.equals))
        case "one_of":
            return OneOf(_read_values(message.one_of))
        case "contains_any":
            return ContainsAny(_read_values(message.contains_any))
        case "range":
            return _read_range(message.range)
        case "exists":
            return Exists(message.exists)
        case "filter":
            return _read_filter(message.filter, numbers)
    return None


def _read_range(message: filter_pb2.Range) -> Range:
    return Range(
        message.gt if message.HasField("gt") else None,
        message.gte if message.HasField("gte") else None,
        message.lt if message.HasField("lt") else None,
        message.lte if message.HasField("lte") else None,
    )


def _read_values(message: struct_pb2.ListValue) -> tuple[JsonValue, ...]:
    return tuple(map(_read_value, message.values[: limits.FILTER_VALUES + 1]))


def _read_value(message: struct_pb2.Value) -> JsonValue:
    """Return a value; objects and unset values become None, which no test accepts."""
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            return message.number_value
        case "bool_value":
            return message.bool_value
        case "list_value":
            return _read_values(message.list_value)
    return None
