"""Writes many items with a few statements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg

from service.domain.items import Item
from service.storage.item_writer import GenerationWrite
from service.storage.postgres.batch_parts import (
    NOTE_UNUSED,
    NewVectors,
    Runs,
    Times,
    make_removal,
    to_array,
)
from service.storage.postgres.user_batch import ListChanges

_ITEM_KEYS: LiteralString = """
    CROSS JOIN LATERAL (SELECT item_key FROM items
        WHERE catalog_id = new.catalog_id AND item_id = new.item_id OFFSET 0) AS item"""

# The vectors of an expired item must not serve a new one with its id.
_REMOVE_EXPIRED: LiteralString = make_removal(
    """SELECT item_key, generation_id
        FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[]) AS new (catalog_id, item_id)
        CROSS JOIN LATERAL (SELECT item_key, expire_time_us FROM items
            WHERE catalog_id = new.catalog_id AND item_id = new.item_id OFFSET 0) AS item
        JOIN generations USING (catalog_id)
        WHERE expire_time_us <= %(now_us)s::bigint""",
    "item_vectors",
    "pending",
    "item_key",
)

REMOVE_VECTORS: LiteralString = make_removal(
    """SELECT item_key, generation_id FROM unnest(%(item_keys)s::bigint[]) AS deleted (item_key)
        CROSS JOIN generations WHERE catalog_id = %(catalog_id)s::bigint""",
    "item_vectors",
    "pending",
    "item_key",
)

# Keys are given in the order of the items. `likes_before` are changes that are not counted yet.
_WRITE_ITEMS: LiteralString = """
    INSERT INTO items (catalog_id, item_id, text, attributes, expire_time_us, sequence,
        change_sequence, update_time_us, deleted, likes_before)
    SELECT catalog_id, item_id, text, attributes, expire_time_us, sequence,
        sequence, %(now_us)s::bigint, FALSE, like_change_count + likes_before
    FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[], %(texts)b::text[],
            %(attributes)b::text[], %(expire_times)s::bigint[], %(sequences)s::bigint[],
            %(likes_before)s::bigint[])
        AS new (catalog_id, item_id, text, attributes, expire_time_us, sequence, likes_before)
    JOIN catalogs USING (catalog_id) ORDER BY sequence
    ON CONFLICT (catalog_id, item_id) DO UPDATE SET
        text = excluded.text, attributes = excluded.attributes,
        expire_time_us = excluded.expire_time_us,
        sequence = excluded.sequence, change_sequence = excluded.change_sequence,
        update_time_us = excluded.update_time_us, deleted = FALSE,
        likes_before = CASE WHEN items.deleted THEN excluded.likes_before
            ELSE items.likes_before END"""

_REMOVE_PENDING: LiteralString = f"""
    DELETE FROM pending WHERE ctid = ANY (ARRAY(SELECT place
        FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[], %(generation_ids)s::bigint[])
            AS new (catalog_id, item_id, generation_id) {_ITEM_KEYS}
        CROSS JOIN LATERAL (SELECT ctid AS place FROM pending
            WHERE generation_id = new.generation_id AND item_key = item.item_key
            OFFSET 0) AS former))"""

# `text_hashes` are all hashes of an item in a row.
_REMOVE_FORMER: LiteralString = f"""
    WITH changed AS MATERIALIZED (
        SELECT former.* FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[],
                %(generation_ids)s::bigint[], %(text_hashes)b::bytea[])
            AS new (catalog_id, item_id, generation_id, text_hashes) {_ITEM_KEYS}
        CROSS JOIN LATERAL (
            SELECT array_agg(item_vectors.ctid) AS places,
                string_agg(text_hash, ''::bytea ORDER BY position) AS text_hashes
            FROM item_vectors CROSS JOIN LATERAL (SELECT text_hash FROM vectors
                WHERE vector_id = item_vectors.vector_id OFFSET 0) AS vector
            WHERE generation_id = new.generation_id AND item_key = item.item_key
            OFFSET 0) AS former
        WHERE former.text_hashes <> new.text_hashes
    ), removed AS (
        DELETE FROM item_vectors WHERE ctid = ANY (ARRAY(SELECT unnest(places) FROM changed))
        RETURNING vector_id,
            (SELECT space_id FROM generations WHERE generation_id = item_vectors.generation_id)
    ) {NOTE_UNUSED}"""

_WRITE_REFERENCES: LiteralString = f"""
    INSERT INTO item_vectors (generation_id, item_key, position, vector_id)
    SELECT generation_id, item_key, position, vector_id
    FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[], %(generation_ids)s::bigint[],
            %(space_ids)s::bigint[], %(positions)s::bigint[], %(hashes)b::bytea[])
        AS new (catalog_id, item_id, generation_id, space_id, position, text_hash) {_ITEM_KEYS}
    CROSS JOIN LATERAL (SELECT vector_id FROM vectors
        WHERE space_id = new.space_id AND text_hash = new.text_hash OFFSET 0) AS vector
    ON CONFLICT DO NOTHING"""

_WRITE_PENDING: LiteralString = f"""
    INSERT INTO pending (generation_id, item_key, reason, message, attempts, next_attempt_us)
    SELECT generation_id, item_key, reason, message, 0, %(now_us)s::bigint
    FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[], %(generation_ids)s::bigint[],
            %(reasons)b::text[], %(messages)b::text[])
        AS new (catalog_id, item_id, generation_id, reason, message) {_ITEM_KEYS}
    ON CONFLICT (generation_id, item_key) DO UPDATE SET
        reason = excluded.reason, message = excluded.message,
        attempts = excluded.attempts, next_attempt_us = excluded.next_attempt_us"""


class ItemBatch:
    """Items that a transaction writes together.

    Args:
        times: the times of the transaction.
    """

    def __init__(self, times: Times) -> None:
        self._times = times
        self._runs: Runs[_ItemRun] = Runs(_ItemRun)

    def add(
        self, catalog_id: int, item: Item, sequence: int, parts: Sequence[GenerationWrite]
    ) -> None:
        """Add an item, which is written after those with its id that were added before."""
        key = (catalog_id, item.item_id)
        self._runs.choose(key).add(key, item, sequence, parts)

    def write(self, connection: psycopg.Connection[Any], like_changes: ListChanges) -> None:
        """Write the items.

        Args:
            connection: the connection.
            like_changes: those of the transaction that are not counted yet.

        Raises:
            psycopg.Error: the transaction has failed.
        """
        for run in self._runs:
            run.write(connection, self._times, like_changes)


class _ItemRun:
    """Items with different ids, as lists of the columns that the statements unnest."""

    def __init__(self) -> None:
        self._items: list[tuple[Any, ...]] = []
        self._vectors = NewVectors()
        self._indexed: list[tuple[Any, ...]] = []
        self._references: list[tuple[Any, ...]] = []
        self._pending: list[tuple[Any, ...]] = []

    def add(
        self,
        key: tuple[int, str],
        item: Item,
        sequence: int,
        parts: Sequence[GenerationWrite],
    ) -> None:
        attributes = json.dumps(item.attributes, ensure_ascii=False)
        self._items.append((*key, item.text, attributes, item.expire_time_us, sequence))
        for part in parts:
            generation_id = part.live.generation.generation_id
            if not part.chunks:
                self._pending.append((*key, generation_id, part.reason, part.message))
                continue
            space_id = part.live.generation.space_id
            self._vectors.add(part.live.generation, part.chunks)
            hashes = [chunk.text_hash for chunk in part.chunks]
            self._indexed.append((*key, generation_id, b"".join(hashes)))
            for position, text_hash in enumerate(hashes):
                self._references.append((*key, generation_id, space_id, position, text_hash))

    def write(
        self, connection: psycopg.Connection[Any], times: Times, like_changes: ListChanges
    ) -> None:
        catalog_ids, item_ids, texts, attributes, expire_times, sequences = zip(
            *self._items, strict=True
        )
        items = {
            "catalog_ids": to_array(catalog_ids),
            "item_ids": list(item_ids),
            "texts": list(texts),
            "attributes": list(attributes),
            "expire_times": to_array(expire_times),
            "sequences": to_array(sequences),
            "likes_before": to_array(map(like_changes.count_before, catalog_ids, sequences)),
            **times,
        }
        connection.execute(_REMOVE_EXPIRED, items)
        connection.execute(_WRITE_ITEMS, items)
        if self._indexed:
            self._write_vectors(connection, times)
        if self._pending:
            catalog_ids, item_ids, generation_ids, reasons, messages = zip(
                *self._pending, strict=True
            )
            pending = {
                "catalog_ids": to_array(catalog_ids),
                "item_ids": list(item_ids),
                "generation_ids": to_array(generation_ids),
                "reasons": list(reasons),
                "messages": list(messages),
                **times,
            }
            connection.execute(_WRITE_PENDING, pending)

    def _write_vectors(self, connection: psycopg.Connection[Any], times: Times) -> None:
        self._vectors.write(connection)
        catalog_ids, item_ids, generation_ids, text_hashes = zip(*self._indexed, strict=True)
        indexed = {
            "catalog_ids": to_array(catalog_ids),
            "item_ids": list(item_ids),
            "generation_ids": to_array(generation_ids),
            "text_hashes": list(text_hashes),
            **times,
        }
        connection.execute(_REMOVE_PENDING, indexed)
        connection.execute(_REMOVE_FORMER, indexed)
        catalog_ids, item_ids, generation_ids, space_ids, positions, hashes = zip(
            *self._references, strict=True
        )
        references = {
            "catalog_ids": to_array(catalog_ids),
            "item_ids": list(item_ids),
            "generation_ids": to_array(generation_ids),
            "space_ids": to_array(space_ids),
            "positions": to_array(positions),
            "hashes": list(hashes),
        }
        connection.execute(_WRITE_REFERENCES, references)
