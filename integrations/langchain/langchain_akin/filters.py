"""Filters on metadata, in the form that LangChain's vector stores share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import akin
from akin.filters import all_of, any_of, between, contains_any, equals, exists, none_of, one_of

MetadataFilter: TypeAlias = akin.Filter | akin.Condition | Mapping[str, Any] | None

_Part: TypeAlias = akin.Filter | akin.Condition

_TESTS: dict[str, Callable[[str, Any], _Part]] = {
    "$eq": equals,
    "$ne": lambda name, value: none_of(equals(name, value)),
    "$in": one_of,
    "$nin": lambda name, values: none_of(one_of(name, values)),
    "$gt": lambda name, bound: between(name, gt=bound),
    "$gte": lambda name, bound: between(name, gte=bound),
    "$lt": lambda name, bound: between(name, lt=bound),
    "$lte": lambda name, bound: between(name, lte=bound),
    "$exists": exists,
    "$contains": lambda name, value: contains_any(name, [value]),
}

_JOINS: dict[str, Callable[..., akin.Filter]] = {"$and": all_of, "$or": any_of}


def parse_filter(metadata_filter: MetadataFilter) -> akin.Filter | akin.Condition | None:
    """Return a filter of Akin.

    Args:
        metadata_filter: a filter of `akin.filters`, which is returned as it is, or a mapping. A
            key of the mapping is a metadata field, and its value is what the field equals, or a
            mapping of operators: `$eq`, `$ne`, `$in`, `$nin`, `$gt`, `$gte`, `$lt`, `$lte`,
            `$exists` and `$contains` (a list contains the value). The keys `$and` and `$or` have
            lists of mappings, and `$not` has one mapping. Several keys must all match.

    Raises:
        ValueError: an operator is unknown or has the wrong kind of value.
    """
    if metadata_filter is None or isinstance(metadata_filter, akin.Filter | akin.Condition):
        return metadata_filter
    if not metadata_filter:
        return None
    return all_of(*(_parse_key(key, value) for key, value in metadata_filter.items()))


def _parse_key(key: str, value: Any) -> _Part:
    if key in _JOINS:
        if not isinstance(value, Sequence) or not value or isinstance(value, str):
            raise ValueError(f"{key} needs a list of filters")
        return _JOINS[key](*map(_parse_nested, value))
    if key == "$not":
        return none_of(_parse_nested(value))
    if key.startswith("$"):
        raise ValueError(f"unknown operator {key}")
    if not isinstance(value, Mapping):
        return equals(key, value)
    unknown = [operator for operator in value if operator not in _TESTS]
    if unknown or not value:
        raise ValueError(f"{key}: unknown operators {unknown}; known are {', '.join(_TESTS)}")
    return all_of(*(_TESTS[operator](key, operand) for operator, operand in value.items()))


def _parse_nested(value: object) -> _Part:
    if isinstance(value, akin.Filter | akin.Condition):
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"a nested filter must be a mapping with at least one key, not {value!r}")
    return all_of(*(_parse_key(key, child) for key, child in value.items()))
