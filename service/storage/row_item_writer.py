"""Writes items row by row, for a database in the same process, where a statement costs little."""

from __future__ import annotations

import json
from collections.abc import Sequence

from service.domain.generations import Generation, LiveGeneration
from service.domain.items import Item, StoredItem
from service.storage.item_writer import make_stored_item, split_by_generation
from service.storage.records import ItemWrite
from service.storage.vectors import remove_item_vectors, set_item_vectors
from service.storage.writer import Transaction


class RowItemWriter:
    """Writes each item with statements of its own: see ItemWriter."""

    def upsert(
        self,
        transaction: Transaction,
        written: Generation,
        live_generations: Sequence[LiveGeneration],
        writes: Sequence[ItemWrite],
    ) -> list[StoredItem]:
        """Store items in order in every generation of their catalog: see ItemWriter."""
        return [_upsert(transaction, written, live_generations, write) for write in writes]

    def remove_vectors(
        self, transaction: Transaction, catalog_id: int, item_keys: Sequence[int]
    ) -> None:
        """Remove the vectors and the pending work of items from every generation."""
        remove_item_vectors(transaction, catalog_id, item_keys)


def write_item_row(transaction: Transaction, catalog_id: int, item: Item) -> tuple[int, int]:
    """Insert or replace the row of an item; return its key and the sequence number."""
    sequence = transaction.next_sequence()
    (item_key,) = transaction.connection.execute(
        """INSERT INTO items (catalog_id, item_id, text, attributes, expire_time_us, sequence,
               change_sequence, update_time_us, deleted, likes_before)
           VALUES (:catalog_id, :item_id, :text, :attributes, :expire_time_us, :sequence,
               :sequence, :now_us, FALSE,
               (SELECT like_change_count FROM catalogs WHERE catalog_id = :catalog_id))
           ON CONFLICT (catalog_id, item_id) DO UPDATE SET
               text = excluded.text, attributes = excluded.attributes,
               expire_time_us = excluded.expire_time_us,
               sequence = excluded.sequence, change_sequence = excluded.change_sequence,
               update_time_us = excluded.update_time_us, deleted = FALSE,
               likes_before = CASE WHEN items.deleted THEN excluded.likes_before
                   ELSE items.likes_before END
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


def _upsert(
    transaction: Transaction,
    written: Generation,
    live_generations: Sequence[LiveGeneration],
    write: ItemWrite,
) -> StoredItem:
    parts = split_by_generation(write, written, live_generations)
    _remove_expired_vectors(transaction, written.catalog_id, write.item.item_id)
    item_key, sequence = write_item_row(transaction, written.catalog_id, write.item)
    for part in parts:
        generation = part.live.generation
        if part.chunks:
            set_item_vectors(transaction, generation, item_key, part.chunks)
        else:
            _mark_pending(transaction, generation, item_key, part.reason, part.message)
    return make_stored_item(write, parts, sequence, transaction.now_us)


def _remove_expired_vectors(transaction: Transaction, catalog_id: int, item_id: str) -> None:
    """Remove the vectors of an expired item, which must not serve a new one with its id."""
    expired = transaction.connection.execute(
        """SELECT item_key FROM items
           WHERE catalog_id = ? AND item_id = ? AND expire_time_us <= ?""",
        (catalog_id, item_id, transaction.now_us),
    ).fetchone()
    if expired is not None:
        remove_item_vectors(transaction, catalog_id, expired)


def _mark_pending(
    transaction: Transaction, generation: Generation, item_key: int, reason: str, message: str
) -> None:
    transaction.connection.execute(
        """INSERT INTO pending
               (generation_id, item_key, reason, message, attempts, next_attempt_us)
           VALUES (?, ?, ?, ?, 0, ?)
           ON CONFLICT (generation_id, item_key) DO UPDATE SET
               reason = excluded.reason, message = excluded.message,
               attempts = excluded.attempts, next_attempt_us = excluded.next_attempt_us""",
        (generation.generation_id, item_key, reason, message, transaction.now_us),
    )
