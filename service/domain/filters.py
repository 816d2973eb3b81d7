"""Filters of items by their attributes.

The comments of akin.v1.Filter define each test; `index/attributes.py` implements them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from service.domain import limits
from service.domain.items import JsonValue
from service.domain.violations import Violation


@dataclass(frozen=True, slots=True)
class Equals:
    """The value equals this one: a string, a number, a boolean, or a tuple of those."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value equals one of these: strings, numbers, booleans."""

    values: tuple[JsonValue, ...]


@dataclass(frozen=True, slots=True)
class ContainsAny:
    """The value is one of these or a list with one of them: strings, numbers, booleans."""

    values: tuple[JsonValue, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The value is a number, or a time in seconds since 1970 UTC, within these bounds."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The item has a value other than null; with `present` false, it has none."""

    present: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one attribute, or a nested filter; None is invalid."""

    attribute: str
    test: Equals | OneOf | ContainsAny | Range | Exists | Filter | None


@dataclass(frozen=True)
class Filter:
    """True if all of `all`, at least one of a non-empty `any`, and none of `none` are true."""

    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    none: tuple[Condition, ...] = ()

    @cached_property
    def text(self) -> str:
        """What tells it from other filters: Python takes those with True and 1.0 for equal."""
        return repr(self)

    @cached_property
    def is_valid(self) -> bool:
        """Whether it has no violations."""
        return next(_find_violations(self, ""), None) is None


def count_conditions(filter_: Filter | None) -> int:
    """Return the number of conditions on all levels, plus 1; 0 if there is no filter."""
    return 0 if filter_ is None else 1 + sum(1 for _ in _conditions(filter_))


def filter_violations(filter_: Filter, path: str = "filter") -> Iterator[Violation]:
    """Validate a filter; the conditions of one that is too large are not validated."""
    if not filter_.is_valid:
        yield from _find_violations(filter_, path)


def _find_violations(filter_: Filter, path: str) -> Iterator[Violation]:
    if _depth(filter_) > limits.FILTER_DEPTH:
        yield Violation(path, f"must be at most {limits.FILTER_DEPTH} levels deep")
        return
    conditions = list(_conditions(filter_))
    if len(conditions) > limits.FILTER_CONDITIONS:
        yield Violation(path, f"must have at most {limits.FILTER_CONDITIONS} conditions in all")
    elif sum(len(_values(condition)) for condition in conditions) > limits.FILTER_VALUES:
        yield Violation(path, f"must have at most {limits.FILTER_VALUES} values in all")
    elif _bytes(conditions) > limits.FILTER_BYTES:
        yield Violation(path, f"must have at most {limits.FILTER_BYTES} bytes of strings in all")
    else:
        yield from _filter_violations(filter_, path)


def attribute_violations(attribute: str, path: str) -> Iterator[Violation]:
    """Validate the path of an attribute, in the message at `path`."""
    if not 1 <= len(attribute.encode()) <= limits.FILTER_ATTRIBUTE_BYTES:
        rule = f"must be 1 to {limits.FILTER_ATTRIBUTE_BYTES} bytes of UTF-8"
        yield Violation(f"{path}.attribute", rule)


def _filter_violations(filter_: Filter, path: str) -> Iterator[Violation]:
    for name in ("all", "any", "none"):
        for number, condition in enumerate(getattr(filter_, name)):
            yield from _condition_violations(condition, f"{path}.{name}[{number}]")


def _condition_violations(condition: Condition, path: str) -> Iterator[Violation]:
    test = condition.test
    if isinstance(test, Filter):
        if condition.attribute:
            yield Violation(f"{path}.attribute", "must be empty for a filter")
        if test == Filter():
            # It would match every item, and so would an `any` that contains it.
            yield Violation(f"{path}.filter", "must have a condition")
        yield from _filter_violations(test, f"{path}.filter")
        return
    yield from attribute_violations(condition.attribute, path)
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


def _range_violations(range_: Range, path: str) -> Iterator[Violation]:
    bounds = (range_.gt, range_.gte, range_.lt, range_.lte)
    if all(bound is None for bound in bounds):
        yield Violation(path, "must have a bound")
    if any(bound is not None and not math.isfinite(bound) for bound in bounds):
        yield Violation(path, "must have finite bounds")
    for exclusive, inclusive in (("gt", "gte"), ("lt", "lte")):
        if getattr(range_, exclusive) is not None and getattr(range_, inclusive) is not None:
            yield Violation(path, f"must not have both {exclusive} and {inclusive}")


def _conditions(filter_: Filter) -> Iterator[Condition]:
    for condition in (*filter_.all, *filter_.any, *filter_.none):
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
    values = (
        value for condition in conditions for value in (condition.attribute, *_values(condition))
    )
    return sum(len(value.encode()) for value in values if isinstance(value, str))


def _depth(filter_: Filter) -> int:
    tests = (condition.test for condition in (*filter_.all, *filter_.any, *filter_.none))
    return 1 + max((_depth(test) for test in tests if isinstance(test, Filter)), default=0)
