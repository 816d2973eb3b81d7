"""Restricts searches to the items that a query allows."""

from __future__ import annotations

from collections.abc import Collection

from service.domain.filters import Filter
from service.domain.vectors import Mask
from service.index.item_index import ItemIndex
from service.recommend.query_preparation import PreparedQuery


def find_excluded_keys(item_index: ItemIndex, prepared: PreparedQuery) -> set[int]:
    """Return the keys of the items that a query or its profile excludes."""
    seen_item_ids = prepared.profile.seen_item_ids if prepared.profile else ()
    return set(item_index.find_keys({*seen_item_ids, *prepared.query.exclude_item_ids}))


def compute_allowed(
    item_index: ItemIndex, prepared: PreparedQuery, own_key: int | None = None
) -> Mask:
    """Return by key which items may be recommended; `own_key` is that of the source."""
    query, filled = prepared.query, prepared.filled
    exclude = find_excluded_keys(item_index, prepared)
    if own_key is not None:
        exclude.add(own_key)
    if filled is not None:
        exclude.update(item_index.find_keys(filled.item_ids))
    allowed = item_index.compute_mask(query.filter or Filter(), exclude)
    if filled is not None and query.group_by is not None and filled.values:
        attribute = query.group_by.attribute
        allowed &= ~item_index.attributes.compute_value_mask(attribute, filled.values)
    return allowed


def restrict_search(
    item_index: ItemIndex, prepared: PreparedQuery
) -> tuple[Collection[int], Mask | None]:
    """Return `exclude` and `allowed` for a search among the vectors."""
    if prepared.filled is not None:
        return (), compute_allowed(item_index, prepared)
    exclude = find_excluded_keys(item_index, prepared)
    return item_index.restrict_search(prepared.query.filter, exclude)
