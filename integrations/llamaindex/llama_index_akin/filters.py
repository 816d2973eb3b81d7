"""LlamaIndex metadata filters as filters of Akin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import akin
from akin.filters import all_of, any_of, between, contains_any, equals, exists, none_of, one_of
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

_Part = akin.Filter | akin.Condition

# Matches every item, because each of them has the attribute or lacks it.
ANY_ITEM = any_of(exists("id"), exists("id", present=False))

_TESTS: dict[FilterOperator, Callable[[str, Any], _Part]] = {
    FilterOperator.EQ: equals,
    FilterOperator.NE: lambda key, value: none_of(equals(key, value)),
    FilterOperator.GT: lambda key, bound: between(key, gt=bound),
    FilterOperator.GTE: lambda key, bound: between(key, gte=bound),
    FilterOperator.LT: lambda key, bound: between(key, lt=bound),
    FilterOperator.LTE: lambda key, bound: between(key, lte=bound),
    FilterOperator.IN: one_of,
    FilterOperator.NIN: lambda key, values: none_of(one_of(key, values)),
    FilterOperator.ANY: contains_any,
    FilterOperator.ALL: lambda key, values: all_of(*(contains_any(key, [v]) for v in values)),
    FilterOperator.CONTAINS: lambda key, value: contains_any(key, [value]),
    FilterOperator.IS_EMPTY: lambda key, _: any_of(
        exists(key, present=False), equals(key, ""), equals(key, [])
    ),
}

_RANGES = {FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE}


def translate_filters(filters: MetadataFilters | None) -> akin.Filter | None:
    """Return a filter of Akin.

    Raises:
        ValueError: an operator has no counterpart in Akin, such as `text_match`, or a range has a
            bound that is not a number.
    """
    if filters is None or not filters.filters:
        return None
    parts = [_translate(part) for part in filters.filters]
    match filters.condition:
        case FilterCondition.OR:
            return any_of(*parts)
        case FilterCondition.NOT:
            return none_of(*parts)
        case _:
            return all_of(*parts)


def join_filters(parts: Sequence[_Part | None]) -> akin.Filter | None:
    """Return a filter that all parts must match; None if there is none."""
    given = [part for part in parts if part is not None]
    return all_of(*given) if given else None


def _translate(part: MetadataFilter | MetadataFilters) -> _Part:
    if isinstance(part, MetadataFilters):
        nested = translate_filters(part)
        if nested is None:
            raise ValueError("a nested filter must have at least one condition")
        return nested
    if part.operator not in _TESTS:
        raise ValueError(f"Akin has no filter for the operator {part.operator.value!r}")
    if part.operator in _RANGES and not isinstance(part.value, int | float):
        raise ValueError(f"{part.key}: {part.operator.value!r} needs a number, not {part.value!r}")
    return _TESTS[part.operator](part.key, part.value)
