"""Conditions of Qdrant on points, beside those of callers' filters."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from qdrant_client import models

from service.domain.filters import Filter
from service.index.read_requests import Restriction
from service.index.shared.point_filters import exclude_values, translate_filter
from service.index.shared.points import (
    DELETE_TIME_FIELD,
    EXPIRE_TIME_FIELD,
    OWN_VECTORS_FIELD,
    OWNER_FIELD,
    SEQUENCE_FIELD,
    TYPE_FIELD,
    PointType,
    hash_owner,
    make_point_ids,
)

# How fields are indexed: for equality, or for ranges.
MATCH_INDEX = models.IntegerIndexParams(
    type=models.IntegerIndexType.INTEGER, lookup=True, range=False
)
RANGE_INDEX = models.IntegerIndexParams(
    type=models.IntegerIndexType.INTEGER, lookup=False, range=True
)


def match_types(*types: PointType) -> models.FieldCondition:
    """Return the condition that a point is of one of some types."""
    return models.FieldCondition(key=TYPE_FIELD, match=models.MatchAny(any=list(map(int, types))))


def match_items(
    filter_: Filter | None, *, searchable: bool, exclude_ids: Collection[str] = (), now_us: int = 0
) -> models.Filter:
    """Return the filter of the first points of items that match, with or without pending ones.

    Those that have expired by a time in microseconds since 1970 UTC do not match.
    """
    types = match_types(PointType.FIRST, *(() if searchable else (PointType.PENDING,)))
    excluded: list[models.Condition] = []
    if exclude_ids:
        excluded.append(match_first_points(exclude_ids))
    if now_us:
        has_expired = models.Range(lte=now_us)
        excluded.append(models.FieldCondition(key=EXPIRE_TIME_FIELD, range=has_expired))
    return models.Filter(
        must=[types, *([translate_filter(filter_)] if filter_ else [])], must_not=excluded or None
    )


def match_first_points(item_ids: Collection[str]) -> models.HasIdCondition:
    """Return the condition that a point is the first one of one of some items."""
    point_ids: list[models.ExtendedPointId] = [*make_point_ids(list(item_ids), [0] * len(item_ids))]
    return models.HasIdCondition(has_id=point_ids)


def match_restriction(restriction: Restriction) -> models.Filter | None:
    """Return the filter of the points with vectors that a restriction allows; None for all."""
    excluded = list(_list_excluded(restriction))
    if restriction.filter is None and not excluded:
        return None
    must = None if restriction.filter is None else [translate_filter(restriction.filter)]
    return models.Filter(must=must, must_not=excluded or None)


def match_not_newer(sequence: int) -> models.Filter:
    """Return the filter of points that reflect no later write than this one."""
    return models.Filter(
        must=[models.FieldCondition(key=SEQUENCE_FIELD, range=models.Range(lte=sequence))]
    )


def match_former_vectors(item_ids: Collection[str], sequence: int) -> models.Filter:
    """Return the filter of further points of items that reflect an earlier write than this one."""
    return models.Filter(
        must=[
            _match_owners(item_ids),
            match_types(PointType.FURTHER),
            models.FieldCondition(key=SEQUENCE_FIELD, range=models.Range(lt=sequence)),
        ]
    )


def match_deleted(before_seconds: int) -> models.Filter:
    """Return the filter of what items leave that were deleted before a time."""
    return models.Filter(
        must=[
            match_types(PointType.DELETED),
            models.FieldCondition(key=DELETE_TIME_FIELD, range=models.Range(lt=before_seconds)),
        ]
    )


def _match_owners(item_ids: Collection[str]) -> models.FieldCondition:
    owners = [hash_owner(item_id) for item_id in item_ids]
    return models.FieldCondition(key=OWNER_FIELD, match=models.MatchAny(any=owners))


def _list_excluded(restriction: Restriction) -> Iterator[models.Condition]:
    item_ids = list(restriction.exclude_ids)
    if item_ids:
        yield match_first_points(item_ids)
        # The further vectors of an item have other ids.
        yield _match_owners(item_ids)
    if restriction.excluded_values:
        yield exclude_values(restriction.excluded_attribute, restriction.excluded_values)
    if restriction.text_vectors_only:
        yield models.FieldCondition(key=OWN_VECTORS_FIELD, match=models.MatchValue(value=True))
