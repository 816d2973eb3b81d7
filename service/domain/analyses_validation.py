"""Validates the queries of analyses: yields every violation, with the path of its field."""

from __future__ import annotations

import math
from collections.abc import Iterator

from service.domain import limits
from service.domain.analyses import (
    ClassificationQuery,
    ClustersQuery,
    DuplicatesQuery,
    OutliersQuery,
    PassagesQuery,
)
from service.domain.filters import Filter, filter_violations
from service.domain.validation import id_violations, text_violations, weight_violations
from service.domain.violations import Violation


def duplicates_violations(query: DuplicatesQuery) -> Iterator[Violation]:
    """Validate a query for near-duplicates."""
    if query.item_id:
        yield from id_violations(query.item_id, "item_id")
    if not -1 <= query.min_similarity <= 1:  # also true of NaN
        yield Violation("min_similarity", "must be between -1 and 1")
    yield from _filter_violations(query.filter)


def outliers_violations(query: OutliersQuery) -> Iterator[Violation]:
    """Validate a query for outliers."""
    yield from _limit_violations("limit", query.limit, limits.OUTLIERS)
    yield from _filter_violations(query.filter)


def clusters_violations(query: ClustersQuery) -> Iterator[Violation]:
    """Validate a query for clusters."""
    if not 0 <= query.cluster_count <= limits.CLUSTERS:
        yield Violation(
            "cluster_count", f"must be between 0 (to have it chosen) and {limits.CLUSTERS}"
        )
    yield from _filter_violations(query.filter)
    yield from _limit_violations(
        "representative_limit", query.representative_limit, limits.REPRESENTATIVES
    )
    if not 0 <= query.point_limit <= limits.POINTS:
        yield Violation("point_limit", f"must be between 0 and {limits.POINTS}")


def classification_violations(query: ClassificationQuery) -> Iterator[Violation]:
    """Validate a query for the labels of a text."""
    yield from text_violations(query.text, "text")
    if not 1 <= len(query.attribute.encode()) <= limits.FILTER_ATTRIBUTE_BYTES:
        yield Violation("attribute", f"must be 1 to {limits.FILTER_ATTRIBUTE_BYTES} bytes of UTF-8")
    yield from _filter_violations(query.filter)
    yield from _limit_violations("neighbor_count", query.neighbor_count, limits.LABEL_NEIGHBORS)
    yield from _limit_violations("limit", query.limit, limits.LABELS)
    if len(query.exclude_item_ids) > limits.EXCLUDED_ITEMS:
        yield Violation("exclude_item_ids", f"must have at most {limits.EXCLUDED_ITEMS} entries")
    for number, item_id in enumerate(query.exclude_item_ids[: limits.EXCLUDED_ITEMS]):
        yield from id_violations(item_id, f"exclude_item_ids[{number}]")


def passages_violations(query: PassagesQuery) -> Iterator[Violation]:
    """Validate a query for passages."""
    yield from text_violations(query.text, "text")
    yield from _limit_violations("limit", query.limit, limits.PASSAGES)
    yield from _filter_violations(query.filter)
    if query.min_score is not None and not math.isfinite(query.min_score):
        yield Violation("min_score", "must be a finite number")
    if query.limit_per_item < 0:
        yield Violation("limit_per_item", "must not be negative")
    yield from weight_violations(query.lexical_weight)


def _limit_violations(field: str, value: int, maximum: int) -> Iterator[Violation]:
    if not 1 <= value <= maximum:
        yield Violation(field, f"must be between 0 (for the default) and {maximum}")


def _filter_violations(filter_: Filter | None) -> Iterator[Violation]:
    if filter_ is not None:
        yield from filter_violations(filter_)
