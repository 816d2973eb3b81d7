"""Filters on the attributes of items, from plain Python values.

    from akin.filters import all_of, between, equals, none_of, one_of

    where = all_of(
        equals("in_stock", True),
        between("price", lt=100),
        none_of(one_of("brand", ["Acme", "Apex"])),
    )

The comments of akin.Filter and akin.Condition define each test and the limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf.struct_pb2 import ListValue

from akin._json_values import check_numbers
from akin.v1.filter_pb2 import Condition, Filter, Range


def equals(attribute: str, value: Any) -> Condition:  # noqa: ANN401  (any JSON value)
    """Return a condition: the attribute equals a string, a number, a boolean, or a list of those.

    Raises:
        ValueError: the value is not a JSON value, or a double cannot hold a number exactly.
    """
    return Condition(attribute=attribute, equals=_list(attribute, (value,)).values[0])


def one_of(attribute: str, values: Iterable[Any]) -> Condition:
    """Return a condition: the attribute equals one of several strings, numbers or booleans.

    Raises:
        ValueError: a value is not a JSON value, a double cannot hold a number exactly, or `values`
            is a single string.
    """
    return Condition(attribute=attribute, one_of=_list(attribute, values))


def contains_any(attribute: str, values: Iterable[Any]) -> Condition:
    """Return a condition: the attribute is one of the values, or a list with at least one.

    Raises:
        ValueError: a value is not a JSON value, a double cannot hold a number exactly, or `values`
            is a single string.
    """
    return Condition(attribute=attribute, contains_any=_list(attribute, values))


def between(
    attribute: str,
    *,
    gt: float | datetime | None = None,
    gte: float | datetime | None = None,
    lt: float | datetime | None = None,
    lte: float | datetime | None = None,
) -> Condition:
    """Return a condition: the attribute lies in a range of numbers or of times.

    Args:
        attribute: name of the attribute; dots lead into nested attributes.
        gt: lower bound, excluded.
        gte: lower bound, included.
        lt: upper bound, excluded.
        lte: upper bound, included.

    Raises:
        ValueError: a time has no time zone, or a double cannot hold a number exactly.
    """
    bounds = Range(
        gt=_bound(attribute, gt),
        gte=_bound(attribute, gte),
        lt=_bound(attribute, lt),
        lte=_bound(attribute, lte),
    )
    return Condition(attribute=attribute, range=bounds)


def exists(attribute: str, present: bool = True) -> Condition:
    """Return a condition: the attribute exists and is not null.

    Args:
        attribute: name of the attribute; dots lead into nested attributes.
        present: False inverts the condition.
    """
    return Condition(attribute=attribute, exists=present)


def all_of(*conditions: Condition | Filter) -> Filter:
    """Return a filter: all conditions match.

    Without conditions, every item matches. The server refuses such a filter inside another one.
    """
    return Filter(all=map(_condition, conditions))


def any_of(*conditions: Condition | Filter) -> Filter:
    """Return a filter: at least one condition matches.

    Raises:
        ValueError: there are no conditions; the server would match every item.
    """
    if not conditions:
        raise ValueError("any_of needs a condition")
    return Filter(any=map(_condition, conditions))


def none_of(*conditions: Condition | Filter) -> Filter:
    """Return a filter: no condition matches, for example because the item lacks the attributes."""
    return Filter(none=map(_condition, conditions))


def _condition(part: Condition | Filter) -> Condition:
    return Condition(filter=part) if isinstance(part, Filter) else part


def _list(attribute: str, values: Iterable[Any]) -> ListValue:
    if isinstance(values, str):
        raise ValueError(f"give a list of values, not the string {values!r}")  # noqa: TRY004  (one error for all)
    message = ListValue()
    for value in values:
        check_numbers(value, attribute)
        message.append(value)
    return message


def _bound(attribute: str, bound: float | datetime | None) -> float | None:
    """Return a number as it is, and a time as seconds since 1970-01-01 UTC."""
    if not isinstance(bound, datetime):
        if isinstance(bound, int):  # the server checks whether a float is finite
            check_numbers(bound, attribute)
        return bound
    if bound.tzinfo is None:
        raise ValueError("a time needs a time zone")
    return bound.timestamp()
