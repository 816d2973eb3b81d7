"""The meaning of filters for one item at a time, and random filters and attributes.

`passes` implements the contract in plain Python. Everything random is drawn from a
`random.Random`, which hypothesis or a seed provides. Random attributes have at most one value for
each dotted path, unless they are to collide.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from random import Random

from akin.v1 import filter_pb2
from google.protobuf import struct_pb2
from hypothesis import strategies as st

from service.domain.filters import Condition, ContainsAny, Equals, Exists, Filter, OneOf, Range
from service.domain.items import JsonValue

Attributes = Mapping[str, JsonValue]
Test = Equals | OneOf | ContainsAny | Range | Exists

_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]+)?)(?:[Zz]|([+-])([0-9]{2}):([0-9]{2})))?"
)
_DAYS_OF_400_YEARS = 146_097
_LOW, _HIGH = ("gt", "gte"), ("lt", "lte")
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60

_COMMON: tuple[JsonValue, ...] = ("1", 1.0, True, "red", 0.0, "2026-05-04")
_SCALARS: tuple[JsonValue, ...] = (
    *(False, -0.0, 2.0, 1.5, -3.0, 1e300, 5e-324, 1_777_888_800.0, 1_777_852_800.0),
    *(0.3, 0.30000000000000004, 2.0**53, 2.0**53 + 2, 1e308, -3.4028234663852886e38),
    *("", "0", "1.0", "true", "Red", "é", "e\u0301", "\x00", "🙂", "null", "nan"),
)
_TIMES = (
    *("2026-05-04T10:00:00Z", "2026-05-04T12:00:00+02:00", "2026-05-04t10:00:00.5z", "1970-01-01"),
    *("2026-05-04T09:59:59.999999-00:00", "1969-12-31T23:59:59.25Z", "2024-02-29", "0001-01-01"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999-23:59", "2026-05-03T10:01:00-23:59"),
)
NO_TIMES = (
    *("2026-13-01", "2026-00-01", "2026-01-00", "2026-02-29", "1900-02-29", "2026-01-01T25:00:00Z"),
    *("2026-01-01T24:00:00Z", "2026-01-01T10:60:00Z", "2026-01-01T10:00:61Z", "2026-05-04T10:00Z"),
    *("2026-05-04T10:00:00", "2026-05-04T10:00:00.Z", "2026-05-04T10:00:00,5Z", "2026-05-04T"),
    *("2026-05-04T10:00:00+24:00", "2026-05-04T10:00:00+02:60", "2026-05-04T10:00:00+0200"),
    *("2026-05-04T10:00:00+02", "2026-05-04T10:00:00+02:00:00", "2026-05-04T10:00:00 Z"),
    *("20260504", "20260504T100000Z", "2026-W19-1", "2026-124", "2026-5-4", "26-05-04", "2026-05"),
    *(" 2026-05-04", "2026-05-04 ", "2026-05-04\n", "2026-05-04Z", "+2026-05-04", "-2026-05-04"),
    *("12026-05-04", "\u0662\u0660\u0662\u0666-05-04", "2026-05-04T10:00:00.\u0665Z", "1777888800"),
    *("2026/05/04", "2026-05-04T10:00:00ZZ", "2026-05-04T10:00:00Z\n", "2026-05-04 10:00:00Z"),
)
_KEYS = ("a", "b", "a.b", "b.a", "é", "")
_PATHS = ("a", "b", "a.b", "b.a", "é", "a.b.a", "a.a", "a.b.b", "a.", ".a", ".", "never", "A")
_BOUNDS = (
    *(0.0, -0.0, 1.0, 1.5, -3.0, 2.0, 1_777_888_800.0, 1_777_852_800.0, -0.75, 1e300),
    *(0.3, 0.30000000000000004, 2.0**53, 5e-324, 1e308, -3.4028234663852886e38),
)


def passes(filter_: Filter, attributes: Attributes) -> bool:
    """Return whether an item with these attributes matches a filter."""
    return (
        all(_is_true(condition, attributes) for condition in filter_.all)
        and (not filter_.any or any(_is_true(condition, attributes) for condition in filter_.any))
        and not any(_is_true(condition, attributes) for condition in filter_.none)
    )


def seconds(text: str) -> float | None:
    """Return the seconds since 1970-01-01 UTC of an RFC 3339 timestamp or date; None for others."""
    match_ = _RFC_3339.fullmatch(text)
    if match_ is None:
        return None
    year, month, day = (int(part) for part in match_.group(1, 2, 3))
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(year or 400, month)[1]:
        return None
    days = date(year or 400, month, day).toordinal() - (0 if year else _DAYS_OF_400_YEARS)
    midnight = (days - date(1970, 1, 1).toordinal()) * _DAY
    if match_[4] is None:
        return float(midnight)
    hour, minute, second = int(match_[4]), int(match_[5]), Fraction(match_[6])
    offset_hour, offset_minute = int(match_[8] or 0), int(match_[9] or 0)
    offset = (offset_hour * _HOUR + offset_minute * _MINUTE) * (-1 if match_[7] == "-" else 1)
    instant = midnight + hour * _HOUR + minute * _MINUTE + second - offset
    is_leap = 60 <= second < 61 and (instant - second + 60) % _DAY == 0
    if max(hour, offset_hour) > 23 or max(minute, offset_minute) > 59:
        return None
    return float(instant) if second < 60 or is_leap else None


def number(value: JsonValue) -> float | None:
    """Return the number that a range compares a value by; None if it has none."""
    if isinstance(value, str):
        return seconds(value)
    return value if isinstance(value, float) else None


def reached(attributes: Attributes, path: str) -> JsonValue:
    """Return the value at a dotted path; None if there is none."""
    for key, value in attributes.items():
        if key == path:
            return value
        if isinstance(value, Mapping) and path.startswith(f"{key}."):
            deeper = reached(value, path.removeprefix(f"{key}."))
            if deeper is not None:
                return deeper
    return None


def _is_true(condition: Condition, attributes: Attributes) -> bool:
    test = condition.test
    if isinstance(test, Filter):
        return passes(test, attributes)
    value = reached(attributes, condition.attribute)
    if isinstance(test, Exists):
        return test.present is (value is not None)
    if value is None or test is None:
        return False
    return _is_true_of(test, value)


def _is_true_of(test: Equals | OneOf | ContainsAny | Range, value: JsonValue) -> bool:
    match test:
        case Equals(operand):
            return _same(value, operand)
        case OneOf(values):
            return any(_same(value, operand) for operand in values)
        case ContainsAny(values):
            elements = value if isinstance(value, list) else [value]
            return any(_same(element, operand) for element in elements for operand in values)
        case Range():
            return _lies_in(value, test)


def _same(value: JsonValue, operand: JsonValue) -> bool:
    if isinstance(value, list) and isinstance(operand, tuple):
        return len(value) == len(operand) and all(map(_same, value, operand))
    for kind in (bool, float, str):
        if isinstance(value, kind) or isinstance(operand, kind):
            return isinstance(value, kind) and isinstance(operand, kind) and value == operand
    return False


def _lies_in(value: JsonValue, range_: Range) -> bool:
    if isinstance(value, list):
        return any(_lies_in(element, range_) for element in value if not isinstance(element, list))
    compared = number(value)
    return (
        compared is not None
        and (range_.gt is None or compared > range_.gt)
        and (range_.gte is None or compared >= range_.gte)
        and (range_.lt is None or compared < range_.lt)
        and (range_.lte is None or compared <= range_.lte)
    )


def random_attributes(random: Random) -> dict[str, JsonValue]:
    """Return attributes whose keys and values also occur in random filters."""
    return dict(_once(_object(random, 3), "", set()))


def random_colliding_attributes(random: Random) -> dict[str, JsonValue]:
    """Return attributes in which several values can have the same dotted path."""
    return _object(random, 3)


def random_filter(random: Random, depth: int = 3) -> Filter:
    """Return a valid filter, at most `depth` levels deep; it may have no conditions."""
    counts = [random.choice((0, 1, 1, 2)), random.choice((0, 0, 1, 3)), random.choice((0, 0, 1))]
    lists = [tuple(_condition(random, depth) for _ in range(count)) for count in counts]
    return Filter(*lists)


def _nested_filter(random: Random, depth: int) -> Filter:
    """Return a valid filter with a condition."""
    filter_ = random_filter(random, depth)
    return filter_ if filter_ != Filter() else Filter((Condition("a", Exists(True)),))


ATTRIBUTES = st.randoms(use_true_random=False).map(random_attributes)
FILTERS = st.randoms(use_true_random=False).map(random_filter)


def _object(random: Random, depth: int) -> dict[str, JsonValue]:
    keys = [key for key in _KEYS if random.randrange(2)]
    return {key: _value(random, depth) for key in keys}


def _once(attributes: Attributes, prefix: str, seen: set[str]) -> Iterator[tuple[str, JsonValue]]:
    for key, value in attributes.items():
        path = prefix + key
        if path in seen:
            continue
        seen.add(path)
        if isinstance(value, Mapping):
            yield key, dict(_once(value, f"{path}.", seen))
        else:
            yield key, value


def _value(random: Random, depth: int) -> JsonValue:
    kind = random.randrange(10)
    if kind < 6 or not depth:
        return _scalar(random)
    if kind == 6:
        return None
    if kind == 7:
        return _object(random, depth - 1)
    return [
        _value(random, depth - 1) if random.randrange(4) == 0 else _scalar(random)
        for _ in range(random.choice((0, 1, 1, 2, 3)))
    ]


def _scalar(random: Random) -> JsonValue:
    kind = random.randrange(12)
    if kind < 8:
        return random.choice(_COMMON)
    if kind == 8:
        return random.choice(_SCALARS)
    if kind == 9:
        return random.choice(_TIMES)
    return random.choice(NO_TIMES) if kind == 10 else _nearly_a_time(random)


def _nearly_a_time(random: Random) -> str:
    day = f"{random.choice((1969, 1970, 2026))}-{random.randrange(14):02}-{random.randrange(33):02}"
    hour, minute, second = random.randrange(26), random.randrange(62), random.randrange(60)
    time = f"{random.choice('Tt ')}{hour:02}:{minute:02}:{second:02}"
    fraction = random.choice(("", "", ".", ".5", ".000001", ".123456789012"))
    return day + random.choice(("", time + fraction + random.choice(("Z", "z", "", "+05:30"))))


def _condition(random: Random, depth: int) -> Condition:
    if depth > 1 and random.randrange(4) == 0:
        return Condition("", _nested_filter(random, depth - 1))
    return Condition(random.choice(random.choice((_PATHS[:3], _PATHS))), _test(random))


def _test(random: Random) -> Test:
    match random.randrange(6):
        case 0:
            return Exists(random.randrange(2) == 1)
        case 1:
            return Equals(_scalar(random))
        case 2:
            return Equals(_scalars(random, 0))
        case 3:
            return OneOf(_scalars(random, 1))
        case 4:
            return ContainsAny(_scalars(random, 1))
    bounds = {
        random.choice(names): random.choice(_BOUNDS)
        for names in random.choice(((_LOW, _HIGH), (_LOW,), (_HIGH,)))
    }
    return Range(**bounds)


def _scalars(random: Random, min_count: int) -> tuple[JsonValue, ...]:
    return tuple(_scalar(random) for _ in range(random.randrange(min_count, 4)))


def filter_message(filter_: Filter) -> filter_pb2.Filter:
    """Return the message of a filter."""
    return filter_pb2.Filter(
        all=map(_condition_message, filter_.all),
        any=map(_condition_message, filter_.any),
        none=map(_condition_message, filter_.none),
    )


def _condition_message(condition: Condition) -> filter_pb2.Condition:
    message = filter_pb2.Condition(attribute=condition.attribute)
    match condition.test:
        case Equals(value):
            message.equals.CopyFrom(value_message(value))
        case OneOf(values):
            message.one_of.CopyFrom(_list_message(values))
        case ContainsAny(values):
            message.contains_any.CopyFrom(_list_message(values))
        case Range(gt, gte, lt, lte):
            message.range.CopyFrom(filter_pb2.Range(gt=gt, gte=gte, lt=lt, lte=lte))
        case Exists(present):
            message.exists = present
        case Filter() as nested:
            message.filter.CopyFrom(filter_message(nested))
    return message


def value_message(value: JsonValue) -> struct_pb2.Value:
    """Return the message of a scalar, of null, or of a tuple of those."""
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
    assert isinstance(value, tuple)
    return struct_pb2.Value(list_value=_list_message(value))


def _list_message(values: Sequence[JsonValue]) -> struct_pb2.ListValue:
    return struct_pb2.ListValue(values=[value_message(value) for value in values])
