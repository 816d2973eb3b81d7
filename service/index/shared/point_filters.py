"""Translates filters to conditions on the payload of points."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from qdrant_client import models

from service.domain.filters import Condition, ContainsAny, Equals, Exists, Filter, OneOf, Range
from service.index.columns import hash_value
from service.index.shared.number_ranks import cover_range
from service.index.shared.point_attributes import (
    hash_element,
    hash_group,
    hash_path,
    hash_rank,
    hash_whole_value,
    name_numbers,
)
from service.index.shared.point_fields import HASHES_FIELD, NUMBERS_FIELD


def translate_filter(filter_: Filter) -> models.Filter:
    """Return the filter of the points whose attributes pass."""
    # An empty list of `should` conditions is left out: its meaning differs between versions.
    return models.Filter(
        must=[_translate_condition(condition) for condition in filter_.all],
        should=[_translate_condition(condition) for condition in filter_.any] or None,
        must_not=[_translate_condition(condition) for condition in filter_.none],
    )


def list_range_fields(filter_: Filter) -> set[str]:
    """Return the fields of the payload that ranges read: integers that need an index."""
    return set(_find_range_fields(filter_))


def exclude_values(attribute: str, hashes: Collection[int]) -> models.Condition:
    """Return what is true of points to exclude: those with one of these values of an attribute.

    The hashes are those that `Attributes.get_values` returns.
    """
    return _match_any(_hash_contained(attribute, hashes))


def _translate_condition(condition: Condition) -> models.Condition:
    path = condition.attribute
    match condition.test:
        case Filter() as nested:
            return translate_filter(nested)
        case Exists(present):
            exists = _match_any([hash_path(path)])
            return exists if present else models.Filter(must_not=[exists])
        case Equals(value):
            return _match_any([hash_whole_value(path, hash_value(value))])
        case OneOf(values):
            return _match_any([hash_whole_value(path, hash_value(value)) for value in values])
        case ContainsAny(values):
            return _match_any(_hash_contained(path, [hash_value(value) for value in values]))
        case Range() as range_:
            return _translate_range(path, range_)
    raise AssertionError("a condition without a test breaks the contract")


def _translate_range(path: str, range_: Range) -> models.Condition:
    """Return the condition that one number is within all bounds: engines test them together."""
    cover = cover_range(range_)
    hashes = [hash_group(path, group) for group in cover.groups]
    hashes.extend(hash_rank(path, rank) for rank in cover.ranks)
    if not cover.blocks:
        return _match_any(hashes)
    inside = models.FieldCondition(
        key=_get_range_field(path),
        range=models.Range(gte=cover.blocks.start, lt=cover.blocks.stop),
    )
    return models.Filter(should=[inside, _match_any(hashes)]) if hashes else inside


def _hash_contained(path: str, hashes: Collection[int]) -> list[int]:
    """Return the hashes of points with one of these values at a path, alone or in a list."""
    return [
        *(hash_whole_value(path, value_hash) for value_hash in hashes),
        *(hash_element(path, value_hash) for value_hash in hashes),
    ]


def _match_any(hashes: list[int]) -> models.FieldCondition:
    return models.FieldCondition(key=HASHES_FIELD, match=models.MatchAny(any=hashes))


def _get_range_field(path: str) -> str:
    return f"{NUMBERS_FIELD}.{name_numbers(path)}"


def _find_range_fields(filter_: Filter) -> Iterator[str]:
    for condition in (*filter_.all, *filter_.any, *filter_.none):
        match condition.test:
            case Filter() as nested:
                yield from _find_range_fields(nested)
            case Range():
                yield _get_range_field(condition.attribute)
