"""The items of catalogs: their writes, and the feed of their changes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from service import errors
from service.domain.generations import Generation, GenerationState, LiveGeneration
from service.domain.items import (
    BEGINNING,
    Anchor,
    Change,
    ChangeBatch,
    ChangedCatalogs,
    Item,
    StoredItem,
)
from service.domain.own_vectors import OWN_ADDRESS_BYTES
from service.domain.terms import MAX_TERM_CHARACTERS, count_terms
from service.domain.text_formats import count_needed_characters, to_plain_text
from service.storage.database import ReadKind
from service.storage.item_reads import IS_LIVE, ItemReads, read_items
from service.storage.item_rows import read_purged_sequence
from service.storage.records import Deletion, ItemVectors, ItemWrite, require_sequence
from service.storage.row_item_writer import write_item_row
from service.storage.sql import Connection
from service.storage.writer import Transaction


class ItemStore(ItemReads):
    """Items on disk, and the feed of their changes.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    async def upsert_many(
        self,
        generation: Generation,
        writes: Sequence[ItemWrite],
        expected_sequence: int | None = None,
    ) -> list[StoredItem]:
        """Store items in order, all or none.

        Args:
            generation: the generation of the writes' chunks.
            writes: the items; of two with the same id the later one remains.
            expected_sequence: the sequence number that each item must have before its write, 0 for
                no item; None for any.

        Raises:
            SequenceMismatch: an item has another sequence number.
            EmbeddingUnavailable: an item has no chunks in the generation that serves, although they
                are required.
            CatalogNotFound: the catalog was deleted.
        """

        def operation(
            transaction: Transaction, live_generations: Sequence[LiveGeneration]
        ) -> list[StoredItem]:
            upsert = self._database.item_writer.upsert
            if expected_sequence is None:
                return upsert(transaction, generation, live_generations, writes)
            connection, now_us = transaction.connection, transaction.now_us
            stored_items = []
            for write in writes:
                item_id = write.item.item_id
                stored = read_items(connection, generation, [item_id], now_us).get(item_id)
                require_sequence("item", item_id, stored, expected_sequence)
                stored_items += upsert(transaction, generation, live_generations, [write])
            return stored_items

        rows = sum(1 + len(write.vectors.chunks) for write in writes)
        return await self._database.write_to_catalog(generation.catalog_id, operation, rows)

    async def update(
        self,
        generation: Generation,
        item_id: str,
        change: Callable[[Item], Item],
        vectors: ItemVectors | None = None,
        expected_sequence: int | None = None,
    ) -> StoredItem:
        """Change the item with this id; no other write comes between its read and its write.

        Args:
            generation: the generation of the chunks.
            item_id: the id.
            change: returns the changed item for the stored one; runs in the writer's thread, and
                what it raises is raised here.
            vectors: the vectors of the changed text, or those of the caller; None if the item keeps
                its vectors and state in every generation.
            expected_sequence: the sequence number that the item must have; None for any.

        Raises:
            ItemNotFound, CatalogNotFound: the item does not exist, or its catalog was deleted.
            SequenceMismatch: the item has another sequence number.
            EmbeddingUnavailable: there are no chunks in the generation that serves, although they
                are required.
        """

        def operation(
            transaction: Transaction, live_generations: Sequence[LiveGeneration]
        ) -> StoredItem:
            stored = _require_item(transaction, live_generations, item_id)
            require_sequence("item", item_id, stored, expected_sequence)
            item = change(stored.item)
            if vectors is not None:
                (stored,) = self._database.item_writer.upsert(
                    transaction, generation, live_generations, [ItemWrite(item, vectors)]
                )
                return stored
            _, sequence = write_item_row(transaction, generation.catalog_id, item)
            return replace(stored, item=item, sequence=sequence, update_time_us=transaction.now_us)

        rows = 1 if vectors is None else 1 + len(vectors.chunks)
        return await self._database.write_to_catalog(generation.catalog_id, operation, rows)

    async def delete_many(
        self, generation: Generation, item_ids: Sequence[str], max_sequence: int | None = None
    ) -> Deletion:
        """Delete the items among `item_ids`, all or none; ids without an item are ignored.

        Args:
            generation: a generation of the catalog.
            item_ids: the ids.
            max_sequence: items with a greater sequence number stay; None deletes all.
        """

        def operation(transaction: Transaction) -> Deletion:
            # The query in the list of columns finds each item by its id. For a join, PostgreSQL
            # could read all live items.
            rows = transaction.connection.execute(
                f"""SELECT (SELECT CASE WHEN {IS_LIVE}
                        AND (CAST(:max_sequence AS BIGINT) IS NULL OR sequence <= :max_sequence)
                        THEN item_key END
                    FROM items WHERE catalog_id = :catalog_id AND item_id = value)
                    FROM json_each(:ids)""",
                {
                    "catalog_id": generation.catalog_id,
                    "now_us": transaction.now_us,
                    "ids": json.dumps(sorted({*item_ids})),
                    "max_sequence": max_sequence,
                },
            ).fetchall()
            item_keys = [item_key for (item_key,) in rows if item_key is not None]
            return self._delete_rows(transaction, generation.catalog_id, item_keys)

        return await self._database.write(operation, len(item_ids))

    async def delete_expired(self, limit: int) -> Deletion:
        """Delete up to `limit` expired items of all catalogs."""

        def operation(transaction: Transaction) -> Deletion:
            rows = transaction.connection.execute(
                "SELECT catalog_id, item_key FROM items WHERE expire_time_us <= ? LIMIT ?",
                (transaction.shared_time_us, limit),
            ).fetchall()
            item_keys: defaultdict[int, list[int]] = defaultdict(list)
            for catalog_id, item_key in rows:
                item_keys[catalog_id].append(item_key)
            deletions = [self._delete_rows(transaction, *expired) for expired in item_keys.items()]
            return Deletion(len(rows), deletions[-1].sequence if deletions else 0)

        return await self._database.write(operation, limit)

    async def changes(
        self,
        generation: Generation,
        after: int,
        limit: int,
        anchor: Anchor = BEGINNING,
        *,
        with_terms: bool = False,
    ) -> ChangeBatch:
        """Return up to `limit` changes after a sequence number, oldest first.

        Args:
            generation: the generation whose vectors to read.
            after: the sequence number that the reader has reached.
            limit: the number of changes.
            anchor: the reader's place in the history of the store.
            with_terms: count the terms of the texts.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

        def query(connection: Connection) -> ChangeBatch:
            rows = connection.execute(
                """SELECT item_key, item_id, CASE WHEN deleted THEN NULL ELSE attributes END,
                       expire_time_us, change_sequence FROM items
                   WHERE catalog_id = ? AND change_sequence > ?
                   ORDER BY change_sequence LIMIT ?""",
                (generation.catalog_id, after, limit),
            ).fetchall()
            up_to = (
                rows[-1][4]
                if len(rows) == limit
                else self._database.read_last_anchor(connection).sequence
            )
            next_anchor = self._database.confirm(connection, anchor, up_to)
            if next_anchor is None:
                return ChangeBatch((), after, 0, anchor, is_confirmed=False)
            vectors, own_keys = _read_changed_vectors(connection, generation, after, up_to)
            purged = read_purged_sequence(connection, generation.catalog_id)
            term_counts: Mapping[int, Mapping[str, int]] = {}
            if with_terms:
                term_counts = _count_changed_terms(connection, generation, after, up_to)
            changes = [
                Change(
                    item_id,
                    attributes,
                    tuple(vectors.get(item_key, ())),
                    expire_time_us,
                    term_counts.get(item_key, {}),
                    item_key in own_keys,
                )
                for item_key, item_id, attributes, expire_time_us, _ in rows
            ]
            return ChangeBatch(changes, up_to, purged, next_anchor)

        # The number and the rows must be of the same moment.
        batch = await self._database.read(query, ReadKind.CHANGES, at_one_moment=True)
        self._database.commits.announce(batch.reached)
        return batch

    async def changed_catalogs(self, after: int, anchors: Collection[Anchor]) -> ChangedCatalogs:
        """Return the catalogs with changes or purged tombstones after a sequence number.

        Args:
            after: the sequence number.
            anchors: places in the history of the store, which it is to confirm.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

        def query(connection: Connection) -> ChangedCatalogs:
            reached = self._database.read_last_anchor(connection).sequence
            anchor = self._database.confirm(connection, BEGINNING, reached) or BEGINNING
            confirmed = {
                former
                for former in anchors
                if self._database.confirm(connection, former, reached) is not None
            }
            rows = connection.execute(
                """SELECT catalog_id FROM catalogs
                   WHERE purged_sequence > :after OR EXISTS (
                       SELECT 1 FROM items WHERE items.catalog_id = catalogs.catalog_id
                       AND change_sequence > :after)""",
                {"after": after},
            )
            ids = frozenset(catalog_id for (catalog_id,) in rows)
            return ChangedCatalogs(ids, reached, anchor, frozenset({anchor, *confirmed}))

        changed = await self._database.read(query, ReadKind.CHANGES, at_one_moment=True)
        self._database.commits.announce(changed.reached)
        return changed

    def _delete_rows(
        self, transaction: Transaction, catalog_id: int, item_keys: Sequence[int]
    ) -> Deletion:
        """Turn items of a catalog into tombstones, which tell followers that the items are gone."""
        if not item_keys:
            return Deletion(0, 0)
        sequences = [transaction.next_sequence() for _ in item_keys]
        transaction.connection.executemany(
            """UPDATE items SET text = '', attributes = '{}', expire_time_us = NULL,
               sequence = ?, change_sequence = ?, update_time_us = ?, deleted = TRUE
               WHERE item_key = ?""",
            (
                (sequence, sequence, transaction.shared_time_us, item_key)
                for sequence, item_key in zip(sequences, item_keys, strict=True)
            ),
        )
        self._database.item_writer.remove_vectors(transaction, catalog_id, item_keys)
        return Deletion(len(item_keys), sequences[-1])


def _require_item(
    transaction: Transaction, live_generations: Sequence[LiveGeneration], item_id: str
) -> StoredItem:
    """Return the item with this id as the serving generation has it.

    Raises:
        ItemNotFound: the item does not exist.
    """
    serving = next(
        live.generation for live in live_generations if live.state is GenerationState.SERVING
    )
    items = read_items(transaction.connection, serving, [item_id], transaction.now_us)
    if item_id not in items:
        raise errors.ItemNotFound(f"item {item_id!r} does not exist")
    return items[item_id]


def _read_changed_vectors(
    connection: Connection, generation: Generation, after: int, up_to: int
) -> tuple[dict[int, list[bytes]], set[int]]:
    """Return the vectors of the items whose change sequence is in (after, up_to].

    Returns:
        The float32 bytes of each chunk's vector, by item key, and the keys of the items whose
        callers gave the vectors.
    """
    vectors: dict[int, list[bytes]] = {}
    own_keys = set()
    for item_key, vector, address_bytes in connection.execute(
        """SELECT item_key, vector, length(text_hash) FROM items
           CROSS JOIN item_vectors USING (item_key) CROSS JOIN vectors USING (vector_id)
           WHERE catalog_id = ? AND change_sequence > ? AND change_sequence <= ?
           AND generation_id = ? ORDER BY item_key, position""",
        (generation.catalog_id, after, up_to, generation.generation_id),
    ):
        vectors.setdefault(item_key, []).append(vector)
        if address_bytes == OWN_ADDRESS_BYTES:
            own_keys.add(item_key)
    return vectors, own_keys


def _count_changed_terms(
    connection: Connection, generation: Generation, after: int, up_to: int
) -> dict[int, Mapping[str, int]]:
    """Return the terms of the items whose change sequence is in (after, up_to], by item key."""
    text_format = generation.text_format
    characters = count_needed_characters(text_format, MAX_TERM_CHARACTERS)
    return {
        item_key: count_terms(to_plain_text(text, text_format))
        for item_key, text in connection.execute(
            """SELECT item_key, substr(text, 1, ?) FROM items
               WHERE catalog_id = ? AND change_sequence > ? AND change_sequence <= ?
               AND NOT deleted""",
            (characters, generation.catalog_id, after, up_to),
        )
    }
