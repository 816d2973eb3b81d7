"""How items are read as rows: the columns, and the item of each row."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from service.domain.items import Item, ItemState, StoredItem
from service.domain.own_vectors import OWN_ADDRESS_BYTES
from service.storage.sql import Connection

# Ids or keys in one statement, below the 999 variables that every build of SQLite allows.
IDS_PER_STATEMENT = 500

# Whether the caller gave the vectors of an item. An item has only own vectors or none, so that the
# first decides. Nested queries find it by its keys; for a join, PostgreSQL could read all vectors.
_HAS_OWN_VECTORS = f"""(SELECT length(text_hash) FROM vectors WHERE vector_id =
    (SELECT vector_id FROM item_vectors WHERE generation_id = :generation_id
        AND item_key = items.item_key AND position = 0)) = {OWN_ADDRESS_BYTES}"""
ITEM_COLUMNS = f"""items.item_id, items.text, items.attributes, items.expire_time_us,
    items.sequence, items.update_time_us, pending.reason, pending.message, {_HAS_OWN_VECTORS}"""
ITEM_TABLES = """items LEFT JOIN pending
    ON pending.item_key = items.item_key AND pending.generation_id = :generation_id"""


def parse_page(
    rows: Iterable[tuple[Any, ...]], limit: int, max_bytes: int
) -> tuple[list[StoredItem], bool]:
    """Return the first `limit` items of rows with ITEM_COLUMNS, and whether more follow.

    The page ends early with the item whose text and attributes make it exceed `max_bytes`.
    """
    items: list[StoredItem] = []
    size_bytes = 0
    for row in rows:
        if len(items) == limit or size_bytes > max_bytes:
            return items, True
        items.append(parse_item(row))
        size_bytes += len(row[1].encode()) + len(row[2].encode())
    return items, False


def parse_item(row: tuple[Any, ...]) -> StoredItem:
    """Return the item of a row with ITEM_COLUMNS."""
    item_id, text, attributes, expire_time_us, sequence, update_time_us, *state = row
    reason, message, has_own_vectors = state
    return StoredItem(
        Item(item_id, text, json.loads(attributes), expire_time_us),
        ItemState.INDEXED if reason is None else ItemState.PENDING,
        sequence,
        update_time_us,
        reason or "",
        message or "",
        has_own_vectors=reason is None and bool(has_own_vectors),
    )


def read_purged_sequence(connection: Connection, catalog_id: int) -> int:
    """Return the change sequence of the last purged tombstone of a catalog, 0 if none is purged."""
    row = connection.execute(
        "SELECT purged_sequence FROM catalogs WHERE catalog_id = ?", (catalog_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])
