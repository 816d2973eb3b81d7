"""Filters from plain Python values: which items count, by their attributes.

    from akin.filters import all_of, between, equals, none_of, one_of

    where = all_of(
        equals("in_stock", True),
        between("price", lt=100),
        none_of(one_of("brand", ["Acme", "Apex"])),
    )

What each test is true of, and the limits, are told at akin.Filter and akin.Condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf.struct_pb2 import ListValue

from akin.v1.filter_pb2 import Condition, Filter, Range


def equals(attribute: str, value: Any) -> Condition:  # noqa: ANN401  (any JSON value)
    """The attribute is this value: a string, a number, a boolean, or a list of those.

    Raises:
        ValueError: the value is none of JSON's types.
    """
    return Condition(attribute=attribute, equals=_list((value,)).values[0])


def one_of(attribute: str, values: Iterable[Any]) -> Condition:
    """The attribute is one of these strings, numbers or booleans.

    Raises:
        ValueError: a value is none of JSON's types, or the values are a lone string.
    """
    return Condition(attribute=attribute, one_of=_list(values))


def contains_any(attribute: str, values: Iterable[Any]) -> Condition:
    """The attribute is a list with at least one of these, or is itself one of them.

    Raises:
        ValueError: a value is none of JSON's types, or the values are a lone string.
    """
    return Condition(attribute=attribute, contains_any=_list(values))


def between(
    attribute: str,
    *,
    gt: float | datetime | None = None,
    gte: float | datetime | None = None,
    lt: float | datetime | None = None,
    lte: float | datetime | None = None,
) -> Condition:
    """The attribute lies in a range of numbers or of times.

    Args:
        attribute: the attribute's key.
        gt: it is greater than this, or later,
        gte: or at least this.
        lt: it is less than this, or earlier,
        lte: or at most this.

    Raises:
        ValueError: a time has no zone.
    """
    bounds = Range(gt=_bound(gt), gte=_bound(gte), lt=_bound(lt), lte=_bound(lte))
    return Condition(attribute=attribute, range=bounds)


def exists(attribute: str, present: bool = True) -> Condition:
    """The item has the attribute, and not null for it; with `present=False` it has not."""
    return Condition(attribute=attribute, exists=present)


def all_of(*conditions: Condition | Filter) -> Filter:
    """Every one of these is true; of none at all, every item passes."""
    return Filter(all=map(_condition, conditions))


def any_of(*conditions: Condition | Filter) -> Filter:
    """At least one of these is true.

    Raises:
        ValueError: none are given; on the wire that would let every item pass.
    """
    if not conditions:
        raise ValueError("any_of needs a condition")
    return Filter(any=map(_condition, conditions))


def none_of(*conditions: Condition | Filter) -> Filter:
    """None of these is true, as for items that lack the attributes they ask about."""
    return Filter(none=map(_condition, conditions))


def _condition(part: Condition | Filter) -> Condition:
    return Condition(filter=part) if isinstance(part, Filter) else part


def _list(values: Iterable[Any]) -> ListValue:
    if isinstance(values, str):
        raise ValueError(f"give several values, not the string {values!r}")  # noqa: TRY004  (one error for all)
    message = ListValue()
    message.extend(values)
    return message


def _bound(bound: float | datetime | None) -> float | None:
    """Seconds since 1970-01-01 UTC for a time."""
    if not isinstance(bound, datetime):
        return bound
    if bound.tzinfo is None:
        raise ValueError("a time needs a time zone")
    return bound.timestamp()
