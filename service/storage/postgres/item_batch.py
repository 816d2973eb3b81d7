"""Writes many items with a few statements, which all travel to the server together.

No statement needs the result of another one, and no caller needs one. So the items of all callers
that share a transaction are gathered, and written at its end or before its next other statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString

import psycopg

from service.domain.generations import Generation, LiveGeneration
from service.domain.items import Item, StoredItem
from service.storage.item_writer import GenerationWrite, make_stored_item, split_by_generation
from service.storage.postgres.postgres_connections import PostgresConnection
from service.storage.records import ItemWrite
from service.storage.writer import Transaction

# PostgreSQL may keep the plan of a statement that it made while the tables were empty. In these
# forms, any plan finds rows by their keys: subqueries with OFFSET 0 run once for each item, and
# rows are deleted by their places.
_ITEM_KEYS: LiteralString = """
    CROSS JOIN LATERAL (SELECT item_key FROM items
        WHERE catalog_id = new.catalog_id AND item_id = new.item_id OFFSET 0) AS item"""

_NOTE_UNUSED: LiteralString = """
    INSERT INTO unused_vectors (vector_id, space_id, since_us)
    SELECT DISTINCT vector_id, space_id, %(shared_time_us)s::bigint FROM removed
    ON CONFLICT (vector_id) DO UPDATE SET since_us = excluded.since_us"""

# The vectors of an expired item must not serve a new one with its id.
_REMOVE_EXPIRED: LiteralString = f"""
    WITH expired AS MATERIALIZED (
        SELECT item_key, generation_id, space_id
        FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[]) AS new (catalog_id, item_id)
        CROSS JOIN LATERAL (SELECT item_key, expire_time_us FROM items
            WHERE catalog_id = new.catalog_id AND item_id = new.item_id OFFSET 0) AS item
        JOIN generations USING (catalog_id)
        WHERE expire_time_us <= %(now_us)s::bigint
    ), settled AS (
        DELETE FROM pending WHERE ctid = ANY (ARRAY(SELECT place FROM expired
            CROSS JOIN LATERAL (SELECT ctid AS place FROM pending
                WHERE generation_id = expired.generation_id AND item_key = expired.item_key
                OFFSET 0) AS former))
    ), removed AS (
        DELETE FROM item_vectors WHERE ctid = ANY (ARRAY(SELECT place FROM expired
            CROSS JOIN LATERAL (SELECT ctid AS place FROM item_vectors
                WHERE generation_id = expired.generation_id AND item_key = expired.item_key
                OFFSET 0) AS former))
        RETURNING vector_id,
            (SELECT space_id FROM generations WHERE generation_id = item_vectors.generation_id)
    ) {_NOTE_UNUSED}"""

# Keys are given in the order of the items.
_WRITE_ITEMS: LiteralString = """
    INSERT INTO items (catalog_id, item_id, text, attributes, expire_time_us, sequence,
        change_sequence, update_time_us, deleted, likes_before)
    SELECT catalog_id, item_id, text, attributes, expire_time_us, sequence,
        sequence, %(now_us)s::bigint, FALSE, like_change_count
    FROM unnest(%(catalog_ids)s::bigint[], %(item_ids)b::text[], %(texts)b::text[],
            %(attributes)b::text[], %(expire_times)s::bigint[], %(sequences)s::bigint[])
        AS new (catalog_id, item_id, text, attributes, expire_time_us, sequence)
    JOIN catalogs USING (catalog_id) ORDER BY sequence
    ON CONFLICT (catalog_id, item_id) DO UPDATE SET
        text = excluded.text, attributes = excluded.attributes,
        expire_time_us = excluded.expire_time_us,
        sequence = excluded.sequence, change_sequence = excluded.change_sequence,
        update_time_us = excluded.update_time_us, deleted = FALSE,
        likes_before = CASE WHEN items.deleted THEN excluded.likes_before
            ELSE items.likes_before END"""

_WRITE_VECTORS: LiteralString = """
    INSERT INTO vectors (space_id, text_hash, vector)
    SELECT * FROM unnest(%(space_ids)s::bigint[], %(hashes)b::bytea[], %(vectors)b::bytea[])
    ON CONFLICT DO NOTHING"""

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
    ) {_NOTE_UNUSED}"""

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


class BatchItemWriter:
    """Gathers the items of a transaction in a batch: see ItemWriter."""

    def upsert(
        self,
        transaction: Transaction,
        written: Generation,
        live_generations: Sequence[LiveGeneration],
        writes: Sequence[ItemWrite],
    ) -> list[StoredItem]:
        """Store items in order in every generation of their catalog: see ItemWriter."""
        connection = transaction.connection
        assert isinstance(connection, PostgresConnection)  # noqa: S101  (that of its database)
        # All writes are checked before the first one is stored.
        all_parts = [split_by_generation(write, written, live_generations) for write in writes]
        batch = connection.deferred
        if not isinstance(batch, ItemBatch):
            batch = ItemBatch(transaction.now_us, transaction.shared_time_us)
            connection.defer(batch)
        stored_items = []
        for write, parts in zip(writes, all_parts, strict=True):
            sequence = transaction.next_sequence()
            batch.add(written.catalog_id, write.item, sequence, parts)
            stored_items.append(make_stored_item(write, parts, sequence, transaction.now_us))
        connection.written_rows += len(writes)
        return stored_items


class ItemBatch:
    """Items that a transaction writes together.

    Args:
        now_us: the time of the transaction.
        shared_time_us: that by the clock that all processes share.
    """

    def __init__(self, now_us: int, shared_time_us: int) -> None:
        self._times = {"now_us": now_us, "shared_time_us": shared_time_us}
        # A statement cannot write a row twice: each run has an item once.
        self._runs: list[_Run] = []
        self._write_counts: dict[tuple[int, str], int] = {}

    def add(
        self, catalog_id: int, item: Item, sequence: int, parts: Sequence[GenerationWrite]
    ) -> None:
        """Add an item, which is written after those with its id that were added before."""
        key = (catalog_id, item.item_id)
        number = self._write_counts.get(key, 0)
        self._write_counts[key] = number + 1
        if number == len(self._runs):
            self._runs.append(_Run())
        self._runs[number].add(key, item, sequence, parts)

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Write the items.

        Raises:
            psycopg.Error: the transaction has failed.
        """
        with connection.pipeline():
            for run in self._runs:
                run.write(connection, self._times)


class _Run:
    """Items with different ids, as lists of the columns that the statements unnest."""

    def __init__(self) -> None:
        self._items: list[tuple[Any, ...]] = []
        self._vectors: dict[tuple[int, bytes], bytes] = {}
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
            hashes = [chunk.text_hash for chunk in part.chunks]
            self._indexed.append((*key, generation_id, b"".join(hashes)))
            for position, chunk in enumerate(part.chunks):
                vector = chunk.vector.tobytes()
                self._vectors.setdefault((space_id, chunk.text_hash), vector)
                self._references.append((*key, generation_id, space_id, position, chunk.text_hash))

    def write(self, connection: psycopg.Connection[Any], times: Mapping[str, int]) -> None:
        catalog_ids, item_ids, texts, attributes, expire_times, sequences = zip(
            *self._items, strict=True
        )
        items = {
            "catalog_ids": _to_array(catalog_ids),
            "item_ids": list(item_ids),
            "texts": list(texts),
            "attributes": list(attributes),
            "expire_times": _to_array(expire_times),
            "sequences": _to_array(sequences),
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
                "catalog_ids": _to_array(catalog_ids),
                "item_ids": list(item_ids),
                "generation_ids": _to_array(generation_ids),
                "reasons": list(reasons),
                "messages": list(messages),
                **times,
            }
            connection.execute(_WRITE_PENDING, pending)

    def _write_vectors(self, connection: psycopg.Connection[Any], times: Mapping[str, int]) -> None:
        space_ids, hashes = zip(*self._vectors, strict=True)
        vectors = {
            "space_ids": _to_array(space_ids),
            "hashes": list(hashes),
            "vectors": list(self._vectors.values()),
        }
        connection.execute(_WRITE_VECTORS, vectors)
        catalog_ids, item_ids, generation_ids, text_hashes = zip(*self._indexed, strict=True)
        indexed = {
            "catalog_ids": _to_array(catalog_ids),
            "item_ids": list(item_ids),
            "generation_ids": _to_array(generation_ids),
            "text_hashes": list(text_hashes),
            **times,
        }
        connection.execute(_REMOVE_PENDING, indexed)
        connection.execute(_REMOVE_FORMER, indexed)
        catalog_ids, item_ids, generation_ids, space_ids, positions, hashes = zip(
            *self._references, strict=True
        )
        references = {
            "catalog_ids": _to_array(catalog_ids),
            "item_ids": list(item_ids),
            "generation_ids": _to_array(generation_ids),
            "space_ids": _to_array(space_ids),
            "positions": _to_array(positions),
            "hashes": list(hashes),
        }
        connection.execute(_WRITE_REFERENCES, references)


def _to_array(values: Iterable[int | None]) -> str:
    """Return integers as PostgreSQL writes an array of them, in a tenth of psycopg's time."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
