"""Haystack filters as filters of Akin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import akin
from akin.filters import all_of, any_of, between, equals, exists, none_of, one_of
from haystack.errors import FilterError

from haystack_akin.documents import TIMES, parse_time

_Part: TypeAlias = akin.Filter | akin.Condition

# Matches every item, because each of them has the attribute or lacks it.
ANY_ITEM = any_of(exists("id"), exists("id", present=False))

_NO_ITEM = none_of(ANY_ITEM)

# Fields of documents that are not attributes of items.
_OTHER_FIELDS = {"id", "content", "blob", "score", "embedding", "sparse_embedding"}

_JOINS: dict[str, Callable[..., _Part]] = {
    "AND": all_of,
    "OR": any_of,
    "NOT": lambda *parts: none_of(all_of(*parts)),
}

_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def translate_filters(filters: Mapping[str, Any] | None) -> akin.Filter | None:
    """Return a filter of Akin; None for no filter.

    Raises:
        FilterError: a key is missing, a value has the wrong type, an operator is unknown, or a
            field is not one of the metadata.
    """
    return all_of(_translate(filters)) if filters else None


def _translate(part: Any) -> _Part:
    if not isinstance(part, Mapping):
        raise FilterError(f"a filter must be a dictionary, not {part!r}")
    if "field" in part:
        return _translate_comparison(part)
    operator = _get(part, "operator")
    conditions = _get(part, "conditions")
    if operator not in _JOINS:
        raise FilterError(f"unknown logical operator {operator!r}; known are AND, OR and NOT")
    if not isinstance(conditions, list) or not conditions:
        raise FilterError("'conditions' must be a list with at least one filter")
    return _JOINS[operator](*map(_translate, conditions))


def _translate_comparison(part: Mapping[str, Any]) -> _Part:
    attribute = _get_attribute(_get(part, "field"))
    operator, value = _get(part, "operator"), _get(part, "value")
    match operator:
        case "==":
            return _equals(attribute, value)
        case "!=":
            return none_of(_equals(attribute, value))
        case "in":
            return _one_of(attribute, value)
        case "not in":
            return none_of(_one_of(attribute, value))
        case ">" | ">=" | "<" | "<=":
            return _compare(attribute, operator, value)
        case _:
            raise FilterError(f"unknown operator {operator!r}")


def _get(part: Mapping[str, Any], key: str) -> Any:
    if key not in part:
        raise FilterError(f"'{key}' is missing in {part}")
    return part[key]


def _get_attribute(field: str) -> str:
    if field in _OTHER_FIELDS:
        raise FilterError(f"Akin filters by metadata only, not by {field!r}")
    return field.removeprefix("meta.")


def _equals(attribute: str, value: Any) -> _Part:
    if value is None:
        return exists(attribute, present=False)
    if isinstance(value, Mapping):
        raise FilterError(f"{attribute}: a dictionary cannot be compared")
    return equals(attribute, value)


def _one_of(attribute: str, values: Any) -> _Part:
    if not isinstance(values, list):
        raise FilterError(f"{attribute}: 'in' and 'not in' need a list, not {values!r}")
    given = [value for value in values if value is not None]
    parts: list[_Part] = [one_of(attribute, given)] if given else []
    if len(given) < len(values):
        parts.append(exists(attribute, present=False))
    return any_of(*parts) if parts else _NO_ITEM


def _compare(attribute: str, operator: str, value: Any) -> _Part:
    if value is None:
        return _NO_ITEM
    if time := parse_time(value):
        return between(f"{TIMES}.{attribute}", **{_BOUNDS[operator]: time})
    if not isinstance(value, int | float):
        raise FilterError(f"{attribute}: {operator!r} needs a number or a date, not {value!r}")
    return between(attribute, **{_BOUNDS[operator]: value})
