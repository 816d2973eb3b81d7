"""Counts how much the likes of catalogs change, so that training knows when it is due."""

from __future__ import annotations

import json
from collections.abc import Collection

from service.storage.sql import Connection

NO_LIKED_ITEMS = "[]"


def note_like_changes(
    connection: Connection,
    catalog_id: int,
    changed: int,
    deletions: int,
    *,
    added_interactions: int = 0,
) -> None:
    """Add to the counts of a catalog.

    Args:
        connection: of the transaction of the changes.
        catalog_id: the catalog.
        changed: the likes that are recorded or changed.
        deletions: the deletions of likes.
        added_interactions: the interactions that are recorded, negative for deleted ones.
    """
    connection.execute(
        """UPDATE catalogs SET like_change_count = like_change_count + ?,
           like_deletion_count = like_deletion_count + ?,
           interaction_count = interaction_count + ? WHERE catalog_id = ?""",
        (changed, deletions, added_interactions, catalog_id),
    )


def note_changed_list(
    connection: Connection,
    catalog_id: int,
    former: str,
    liked_items: str,
    weighted_ids: Collection[tuple[str, float]],
) -> None:
    """Count what changes if a list of liked items follows another: see `count_changes`."""
    changed, deletions = count_changes(former, liked_items, weighted_ids)
    if changed:
        note_like_changes(connection, catalog_id, changed, deletions)


def count_changes(
    former: str, liked_items: str, weighted_ids: Collection[tuple[str, float]]
) -> tuple[int, int]:
    """Return how many likes change if one list follows another, and how many lists are deleted.

    Args:
        former: the former list as it is stored.
        liked_items: the next list as it is stored.
        weighted_ids: the next list.
    """
    if former == liked_items:
        return 0, 0
    if former == NO_LIKED_ITEMS:
        return len(weighted_ids), 0
    before, after = set(map(tuple, json.loads(former))), set(weighted_ids)
    # A list that moves on with the user's taste loses likes as well: only an empty one forgets.
    return max(len(after - before), 1), int(not after)
