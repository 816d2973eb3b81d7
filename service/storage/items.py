"""The items of catalogs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from service import errors
from service.domain.generations import Generation
from service.domain.items import Item, StoredItem
from service.storage.changes import ItemChanges
from service.storage.generation_rows import read_live_generations, serving_generation
from service.storage.item_rows import (
    IS_LIVE,
    ITEM_COLUMNS,
    ITEM_TABLES,
    delete_rows,
    read_items,
    read_page,
    require_sequence,
    upsert_item,
    write_item_row,
)
from service.storage.records import Deletion, ItemExcerpt, ItemPage, ItemVectors, ItemWrite
from service.storage.writer import Transaction


class ItemStore(ItemChanges):
    """Items on disk, and the feed of their changes.

    Reads return live items only: neither deleted nor expired. Every method can raise
    StoreUnavailable and StoreCorrupted, and those that write also Overloaded and StoreFull.
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
            CatalogNotFound: the catalog was deleted.
        """

        def operation(transaction: Transaction) -> list[StoredItem]:
            connection, now_us = transaction.connection, transaction.now_us
            live_generations = read_live_generations(connection, generation.catalog_id)
            stored_items = []
            for write in writes:
                if expected_sequence is not None:
                    item_id = write.item.item_id
                    stored = read_items(connection, generation, [item_id], now_us).get(item_id)
                    require_sequence(stored, expected_sequence)
                stored_items.append(upsert_item(transaction, generation, live_generations, write))
            return stored_items

        return await self._database.write(operation)

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
            vectors: the vectors of the changed text; None if the text stays, so that the item keeps
                its vectors and state in every generation.
            expected_sequence: the sequence number that the item must have; None for any.

        Raises:
            ItemNotFound, CatalogNotFound: the item does not exist, or its catalog was deleted.
            SequenceMismatch: the item has another sequence number.
        """

        def operation(transaction: Transaction) -> StoredItem:
            connection, now_us = transaction.connection, transaction.now_us
            live_generations = read_live_generations(connection, generation.catalog_id)
            serving = serving_generation(live_generations)
            stored = read_items(connection, serving, [item_id], now_us).get(item_id)
            if stored is None:
                raise errors.ItemNotFound("there is no such item")
            require_sequence(stored, expected_sequence)
            item = change(stored.item)
            if vectors is not None:
                write = ItemWrite(item, vectors)
                return upsert_item(transaction, generation, live_generations, write)
            _, sequence = write_item_row(transaction, generation.catalog_id, item)
            return replace(stored, item=item, sequence=sequence, update_time_us=now_us)

        return await self._database.write(operation)

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
            rows = transaction.connection.execute(
                f"""SELECT item_key FROM items WHERE catalog_id = :catalog_id AND {IS_LIVE}
                    AND item_id IN (SELECT value FROM json_each(:ids))
                    AND (:max_sequence IS NULL OR sequence <= :max_sequence) ORDER BY item_id""",
                {
                    "catalog_id": generation.catalog_id,
                    "now_us": transaction.now_us,
                    "ids": json.dumps(item_ids),
                    "max_sequence": max_sequence,
                },
            ).fetchall()
            return delete_rows(transaction, [item_key for (item_key,) in rows])

        return await self._database.write(operation)

    async def delete_expired(self, limit: int) -> Deletion:
        """Delete up to `limit` expired items of all catalogs."""

        def operation(transaction: Transaction) -> Deletion:
            rows = transaction.connection.execute(
                "SELECT item_key FROM items WHERE expire_time_us <= ? LIMIT ?",
                (transaction.now_us, limit),
            ).fetchall()
            return delete_rows(transaction, [item_key for (item_key,) in rows])

        return await self._database.write(operation)

    async def get_many(
        self, generation: Generation, item_ids: Sequence[str]
    ) -> Mapping[str, StoredItem]:
        """Return the items among `item_ids`, by id."""
        now_us = self._database.clock_us()
        return await self._database.read(
            lambda connection: read_items(connection, generation, item_ids, now_us)
        )

    async def get_page(
        self, generation: Generation, item_ids: Sequence[str], max_bytes: int
    ) -> tuple[list[StoredItem], bool]:
        """Return the items among `item_ids` by ascending id, and whether `max_bytes` ended them.

        The page ends with the item whose text and attributes make it exceed `max_bytes`.
        """
        values = {**self._values(generation), "ids": json.dumps(item_ids)}

        def query(connection: sqlite3.Connection) -> tuple[list[StoredItem], bool]:
            rows = connection.execute(
                f"""SELECT {ITEM_COLUMNS} FROM {ITEM_TABLES}
                    WHERE catalog_id = :catalog_id AND {IS_LIVE}
                    AND item_id IN (SELECT value FROM json_each(:ids)) ORDER BY item_id""",
                values,
            )
            return read_page(rows, len(item_ids), max_bytes)

        return await self._database.read(query)

    async def list_page(
        self, generation: Generation, after: str, limit: int, max_bytes: int
    ) -> ItemPage:
        """Return items with ids after `after`, by ascending id in byte order.

        The page ends at `limit` items, or with the item whose text and attributes make it exceed
        `max_bytes`.
        """
        values = {**self._values(generation), "after": after, "limit": limit + 1}

        def query(connection: sqlite3.Connection) -> ItemPage:
            rows = connection.execute(
                f"""SELECT {ITEM_COLUMNS} FROM {ITEM_TABLES}
                    WHERE catalog_id = :catalog_id AND item_id > :after AND {IS_LIVE}
                    ORDER BY item_id LIMIT :limit""",
                values,
            )
            items, more = read_page(rows, limit, max_bytes)
            return ItemPage(items, _count(connection, values), more)

        return await self._database.read(query)

    async def count(self, generation: Generation) -> int:
        """Return the number of items in the catalog."""
        values = self._values(generation)
        return await self._database.read(lambda connection: _count(connection, values))

    async def text_beginnings(
        self, generation: Generation, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, str]:
        """Return the first characters of the texts of the items among `item_ids`, by id."""
        values = {
            **self._values(generation),
            "ids": json.dumps(item_ids),
            "characters": characters,
        }

        def query(connection: sqlite3.Connection) -> Mapping[str, str]:
            rows = connection.execute(
                f"""SELECT item_id, substr(text, 1, :characters) FROM items
                    WHERE catalog_id = :catalog_id AND {IS_LIVE}
                    AND item_id IN (SELECT value FROM json_each(:ids))""",
                values,
            )
            return dict(rows.fetchall())

        return await self._database.read(query)

    async def excerpts(
        self, generation: Generation, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, ItemExcerpt]:
        """Return the items among `item_ids` with the first characters of their texts, by id."""
        values = {
            **self._values(generation),
            "ids": json.dumps(item_ids),
            "characters": characters,
        }

        def query(connection: sqlite3.Connection) -> Mapping[str, ItemExcerpt]:
            rows = connection.execute(
                f"""SELECT item_id, substr(text, 1, :characters), attributes, sequence, item_key,
                        EXISTS (SELECT 1 FROM pending WHERE generation_id = :generation_id
                            AND pending.item_key = items.item_key)
                    FROM items WHERE catalog_id = :catalog_id AND {IS_LIVE}
                    AND item_id IN (SELECT value FROM json_each(:ids))""",
                values,
            )
            return {
                item_id: ItemExcerpt(text, attributes, sequence, item_key, bool(is_pending))
                for item_id, text, attributes, sequence, item_key, is_pending in rows
            }

        return await self._database.read(query)

    async def chunk_hashes(
        self, generation: Generation, item_ids: Sequence[str]
    ) -> Mapping[str, Sequence[bytes]]:
        """Return the text hashes of the vectors of items in the order of their chunks, by id."""
        values = {**self._values(generation), "ids": json.dumps(item_ids)}

        def query(connection: sqlite3.Connection) -> Mapping[str, Sequence[bytes]]:
            hashes: dict[str, list[bytes]] = {}
            for item_id, text_hash in connection.execute(
                """SELECT item_id, text_hash FROM items JOIN item_vectors USING (item_key)
                   JOIN vectors USING (vector_id)
                   WHERE catalog_id = :catalog_id
                   AND item_id IN (SELECT value FROM json_each(:ids))
                   AND generation_id = :generation_id ORDER BY item_key, position""",
                values,
            ):
                hashes.setdefault(item_id, []).append(text_hash)
            return hashes

        return await self._database.read(query)

    def _values(self, generation: Generation) -> dict[str, int | str]:
        """Return the values that the conditions of queries name."""
        return {
            "catalog_id": generation.catalog_id,
            "generation_id": generation.generation_id,
            "now_us": self._database.clock_us(),
        }


def _count(connection: sqlite3.Connection, values: Mapping[str, int | str]) -> int:
    (number,) = connection.execute(
        f"SELECT count(*) FROM items WHERE catalog_id = :catalog_id AND {IS_LIVE}", values
    ).fetchone()
    return int(number)
