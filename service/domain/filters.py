"""Filters: which items count, by their attributes.

The proto comments of akin.v1.Filter say what each test means; `index/attributes.py` answers it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.domain import limits
from service.domain.items import JsonValue
from service.domain.violations import Violation


@dataclass(frozen=True, slots=True)
class Equals:
    """The value is this: a string, a number, a boolean, or a tuple of those."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value equals one of these: strings, numbers, booleans."""

    values: tuple[JsonValue, ...]


@dataclass(frozen=True, slots=True)
class ContainsAny:
    """The value is one of these or a list that has one of them: strings, numbers, booleans."""

    values: tuple[JsonValue, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The value is a number, or a timestamp in seconds since 1970 UTC, within these bounds."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The item has the attribute, with another value than null; or, with False, it has not."""

    present: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one attribute, or another filter; None is what breaks the contract."""

    attribute: str
    test: Equals | OneOf | ContainsAny | Range | Exists | Filter | None


@dataclass(frozen=True, slots=True)
class Filter:
    """True if all of `all`, at least one of `any` (if there are some) and none of `none` are."""

    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    none: tuple[Condition, ...] = ()


def size(wanted: Filter | None) -> int:
    """How many conditions a filter has on all levels, itself counted as one; 0 without one."""
    return 0 if wanted is None else 1 + sum(1 for _ in _conditions(wanted))


def filter_violations(wanted: Filter, path: str = "filter") -> Iterator[Violation]:
    """Checks a filter; what is too deep or too much is told without its details."""
    if _depth(wanted) > limits.FILTER_DEPTH:
        yield Violation(path, f"must be at most {limits.FILTER_DEPTH} levels deep")
        return
    conditions = list(_conditions(wanted))
    if len(conditions) > limits.FILTER_CONDITIONS:
        yield Violation(path, f"must have at most {limits.FILTER_CONDITIONS} conditions in all")
    elif sum(len(_values(each)) for each in conditions) > limits.FILTER_VALUES:
        yield Violation(path, f"must have at most {limits.FILTER_VALUES} values in all")
    elif _bytes(conditions) > limits.FILTER_BYTES:
        yield Violation(path, f"must have at most {limits.FILTER_BYTES} bytes of strings in all")
    else:
        yield from _filter_violations(wanted, path)


def _filter_violations(wanted: Filter, path: str) -> Iterator[Violation]:
    for name in ("all", "any", "none"):
        for number, condition in enumerate(getattr(wanted, name)):
            yield from _condition_violations(condition, f"{path}.{name}[{number}]")


def _condition_violations(condition: Condition, path: str) -> Iterator[Violation]:
    test = condition.test
    if isinstance(test, Filter):
        if condition.attribute:
            yield Violation(f"{path}.attribute", "must be empty for a filter")
        yield from _filter_violations(test, f"{path}.filter")
        return
    if not 1 <= len(condition.attribute.encode()) <= limits.FILTER_ATTRIBUTE_BYTES:
        yield Violation(
            f"{path}.attribute", f"must be 1 to {limits.FILTER_ATTRIBUTE_BYTES} bytes of UTF-8"
        )
    match test:
        case None:
            yield Violation(f"{path}.test", "must be set")
        case Equals(value):
            values = value if isinstance(value, tuple) else (value,)
            yield from _value_violations(values, f"{path}.equals")
        case OneOf(values):
            yield from _values_violations(values, f"{path}.one_of")
        case ContainsAny(values):
            yield from _values_violations(values, f"{path}.contains_any")
        case Range():
            yield from _range_violations(test, f"{path}.range")


def _values_violations(values: Sequence[JsonValue], path: str) -> Iterator[Violation]:
    if not values:
        yield Violation(path, "must have a value")
    yield from _value_violations(values, path)


def _value_violations(values: Sequence[JsonValue], path: str) -> Iterator[Violation]:
    for value in values:
        if not isinstance(value, str | float | bool):
            yield Violation(path, "must be strings, numbers or booleans")
            return
        if isinstance(value, float) and not math.isfinite(value):
            yield Violation(path, "must be finite")
            return


def _range_violations(wanted: Range, path: str) -> Iterator[Violation]:
    bounds = (wanted.gt, wanted.gte, wanted.lt, wanted.lte)
    if all(bound is None for bound in bounds):
        yield Violation(path, "must have a bound")
    if any(bound is not None and not math.isfinite(bound) for bound in bounds):
        yield Violation(path, "must have finite bounds")
    for one, other in (("gt", "gte"), ("lt", "lte")):
        if getattr(wanted, one) is not None and getattr(wanted, other) is not None:
            yield Violation(path, f"must not have both {one} and {other}")


def _conditions(wanted: Filter) -> Iterator[Condition]:
    for condition in (*wanted.all, *wanted.any, *wanted.none):
        yield condition
        if isinstance(condition.test, Filter):
            yield from _conditions(condition.test)


def _values(condition: Condition) -> Sequence[JsonValue]:
    match condition.test:
        case Equals(value):
            return value if isinstance(value, tuple) else (value,)
        case OneOf(values) | ContainsAny(values):
            return values
    return ()


def _bytes(conditions: Sequence[Condition]) -> int:
    values = (value for each in conditions for value in (each.attribute, *_values(each)))
    return sum(len(value.encode()) for value in values if isinstance(value, str))


def _depth(wanted: Filter) -> int:
    nested = (each.test for each in (*wanted.all, *wanted.any, *wanted.none))
    return 1 + max((_depth(each) for each in nested if isinstance(each, Filter)), default=0)
