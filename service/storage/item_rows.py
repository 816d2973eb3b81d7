"""How items are written and read as rows, inside the transactions of ItemStore.

An item is expired from the microsecond of its expire time on, even if its row is still there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from service import errors
from service.domain.generations import Generation, GenerationState, LiveGeneration
from service.domain.items import Item, ItemState, StoredItem
from service.storage.records import Deletion, ItemVectors, ItemWrite
from service.storage.vectors import remove_item_vectors, set_item_vectors
from service.storage.writer import Transaction

ITEM_COLUMNS = """items.item_id, items.text, items.attributes, items.expire_time_us, items.sequence,
    items.update_time_us, pending.reason, pending.message"""
ITEM_TABLES = """items LEFT JOIN pending
    ON pending.item_key = items.item_key AND pending.generation_id = :generation_id"""
IS_LIVE = "NOT items.deleted AND (items.expire_time_us IS NULL OR items.expire_time_us > :now_us)"

# Ids in one statement, below the 999 variables that every build of SQLite allows.
IDS_PER_STATEMENT = 500


def read_items(
    connection: sqlite3.Connection, generation: Generation, item_ids: Sequence[str], now_us: int
) -> dict[str, StoredItem]:
    """Return the live items among `item_ids`, by id."""
    items: dict[str, StoredItem] = {}
    for start in range(0, len(item_ids), IDS_PER_STATEMENT):
        batch = item_ids[start : start + IDS_PER_STATEMENT]
        names = {f"id{number}": item_id for number, item_id in enumerate(batch)}
        rows = connection.execute(
            f"""SELECT {ITEM_COLUMNS} FROM {ITEM_TABLES}
                WHERE catalog_id = :catalog_id AND {IS_LIVE}
                AND item_id IN ({",".join(f":{name}" for name in names)})""",
            {
                "catalog_id": generation.catalog_id,
                "generation_id": generation.generation_id,
                "now_us": now_us,
                **names,
            },
        )
        items.update((row[0], _stored_item(row)) for row in rows)
    return items


def read_page(
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
        items.append(_stored_item(row))
        size_bytes += len(row[1].encode()) + len(row[2].encode())
    return items, False


def _stored_item(row: tuple[Any, ...]) -> StoredItem:
    item_id, text, attributes, expire_time_us, sequence, update_time_us, reason, message = row
    return StoredItem(
        Item(item_id, text, json.loads(attributes), expire_time_us),
        ItemState.INDEXED if reason is None else ItemState.PENDING,
        sequence,
        update_time_us,
        reason or "",
        message or "",
    )


def require_sequence(stored: StoredItem | None, expected_sequence: int | None) -> None:
    """Check the sequence number of an item; 0 expects no item, None expects nothing.

    Raises:
        SequenceMismatch: the item has another sequence number.
    """
    sequence = 0 if stored is None else stored.sequence
    if expected_sequence not in {None, sequence}:
        raise errors.SequenceMismatch(f"the item's sequence is {sequence}, not {expected_sequence}")


def upsert_item(
    transaction: Transaction,
    generation: Generation,
    live_generations: Sequence[LiveGeneration],
    write: ItemWrite,
) -> StoredItem:
    """Store an item in every generation; until a text is embedded, the previous vectors serve.

    Args:
        transaction: the transaction of the write.
        generation: the generation of the write's chunks.
        live_generations: all generations of the catalog.
        write: the item.
    """
    expired = transaction.connection.execute(
        """SELECT item_key FROM items
           WHERE catalog_id = ? AND item_id = ? AND expire_time_us <= ?""",
        (generation.catalog_id, write.item.item_id, transaction.now_us),
    ).fetchone()
    if expired is not None:  # the vectors of an expired item must not serve the new one
        remove_item_vectors(transaction.connection, *expired)
    item_key, sequence = write_item_row(transaction, generation.catalog_id, write.item)
    pending_in_serving = None
    for live in live_generations:
        pending = _set_vectors(transaction, live.generation, item_key, write.vectors, generation)
        if live.state is GenerationState.SERVING:
            pending_in_serving = pending
    state = ItemState.INDEXED if pending_in_serving is None else ItemState.PENDING
    reason, message = pending_in_serving or ("", "")
    return StoredItem(write.item, state, sequence, transaction.now_us, reason, message)


def write_item_row(transaction: Transaction, catalog_id: int, item: Item) -> tuple[int, int]:
    """Insert or replace the row of an item; return its key and the sequence number."""
    sequence = transaction.next_sequence()
    (item_key,) = transaction.connection.execute(
        """INSERT INTO items (catalog_id, item_id, text, attributes, expire_time_us, sequence,
               change_sequence, update_time_us, deleted)
           VALUES (:catalog_id, :item_id, :text, :attributes, :expire_time_us, :sequence,
               :sequence, :now_us, 0)
           ON CONFLICT (catalog_id, item_id) DO UPDATE SET
               text = excluded.text, attributes = excluded.attributes,
               expire_time_us = excluded.expire_time_us,
               sequence = excluded.sequence, change_sequence = excluded.change_sequence,
               update_time_us = excluded.update_time_us, deleted = 0
           RETURNING item_key""",
        {
            "catalog_id": catalog_id,
            "item_id": item.item_id,
            "text": item.text,
            "attributes": json.dumps(item.attributes, ensure_ascii=False),
            "expire_time_us": item.expire_time_us,
            "sequence": sequence,
            "now_us": transaction.now_us,
        },
    ).fetchone()
    return item_key, sequence


def _set_vectors(
    transaction: Transaction,
    generation: Generation,
    item_key: int,
    vectors: ItemVectors,
    written: Generation,
) -> tuple[str, str] | None:
    """Store an item's vectors in a generation, or that it is pending there.

    Returns:
        The reason and the message if it is pending.
    """
    chunks, reason, message = vectors.in_generation(
        generation.generation_id, written_id=written.generation_id
    )
    if chunks:
        set_item_vectors(transaction.connection, generation, item_key, chunks)
        return None
    transaction.connection.execute(
        """INSERT OR REPLACE INTO pending
               (generation_id, item_key, reason, message, attempts, next_attempt_us)
           VALUES (?, ?, ?, ?, 0, ?)""",
        (generation.generation_id, item_key, reason, message, transaction.now_us),
    )
    return reason, message


def delete_rows(transaction: Transaction, item_keys: Sequence[int]) -> Deletion:
    """Turn items into tombstones, which tell followers that the items are gone."""
    sequence = 0
    for item_key in item_keys:
        sequence = transaction.next_sequence()
        transaction.connection.execute(
            """UPDATE items SET text = '', attributes = '{}', expire_time_us = NULL,
               sequence = :sequence, change_sequence = :sequence,
               update_time_us = :now_us, deleted = 1 WHERE item_key = :item_key""",
            {"sequence": sequence, "now_us": transaction.now_us, "item_key": item_key},
        )
        remove_item_vectors(transaction.connection, item_key)
    return Deletion(len(item_keys), sequence)
