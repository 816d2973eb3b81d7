"""The reading queries of items.

An item is expired from the microsecond of its expire time on, even if its row is still there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from service import errors
from service.domain import limits
from service.domain.generations import Generation
from service.domain.items import Anchor, StoredItem
from service.domain.text_formats import count_needed_characters, read_beginning
from service.storage.database import Database, ReadKind
from service.storage.item_rows import (
    IDS_PER_STATEMENT,
    ITEM_COLUMNS,
    ITEM_TABLES,
    parse_item,
    parse_page,
    read_purged_sequence,
)
from service.storage.item_vector_reads import add_vectors, read_own_vector_ids, read_text_hashes
from service.storage.records import ItemExcerpt, ItemPage
from service.storage.sql import Connection

IS_LIVE = "NOT items.deleted AND (items.expire_time_us IS NULL OR items.expire_time_us > :now_us)"

# Ids in one statement if the size of the texts is bounded: PostgreSQL sends all rows of a statement
# at once, of up to 1 MiB each.
IDS_PER_BOUNDED_STATEMENT = 100


class ItemReads:
    """Live items on disk, which are neither deleted nor expired, and news of commits.

    Every query can raise StoreUnavailable and StoreCorrupted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last write that this process knows of."""
        return self._database.commits.last_sequence

    @property
    def doubts(self) -> int:
        """A number that grows when the store may have lost commits."""
        return self._database.commits.doubts

    async def confirms(self, anchor: Anchor) -> bool:
        """Return whether an anchor is in the history of the store."""
        return await self._database.read(
            lambda connection: (
                self._database.confirm(connection, anchor, anchor.sequence) is not None
            )
        )

    async def refresh(self) -> int:
        """Look for commits of other processes, and return the last sequence number."""
        return await self._database.refresh()

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call `listener` in the event loop with the last sequence number after each commit."""
        self._database.commits.listen(listener)

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Stop calling `listener`."""
        self._database.commits.unlisten(listener)

    async def get_many(
        self,
        generation: Generation,
        item_ids: Sequence[str],
        *,
        with_vectors: bool = False,
        max_text_bytes: int | None = None,
    ) -> Mapping[str, StoredItem]:
        """Return the items among `item_ids`, by id.

        Args:
            generation: a generation of the catalog.
            item_ids: the ids.
            with_vectors: read the vectors in the generation, too.
            max_text_bytes: the size of all texts in memory, at most; None for any.

        Raises:
            AnswerTooLarge: the vectors do not fit into one message, or the texts are larger.
        """
        now_us = self._database.now_us()

        def query(connection: Connection) -> Mapping[str, StoredItem]:
            items = read_items(connection, generation, item_ids, now_us, max_text_bytes)
            if not with_vectors:
                return items
            complete = add_vectors(
                connection, generation, list(items.values()), limits.MESSAGE_BYTES
            )
            if len(complete) < len(items):
                raise errors.AnswerTooLarge(
                    f"the vectors of the items exceed {limits.MESSAGE_BYTES} bytes: "
                    "request fewer items, or do not set include_vectors"
                )
            return {stored.item.item_id: stored for stored in complete}

        # The items and their vectors must be of the same moment.
        return await self._database.read(query, at_one_moment=with_vectors)

    async def get_page(
        self,
        generation: Generation,
        item_ids: Sequence[str],
        max_bytes: int,
        *,
        with_vectors: bool = False,
    ) -> tuple[list[StoredItem], bool]:
        """Return the items among `item_ids` by ascending id, and whether `max_bytes` ended them.

        The page ends with the item whose text and attributes, or whose vectors, make it exceed
        `max_bytes`.
        """
        values = self._values(generation, ids=json.dumps(item_ids))

        def query(connection: Connection) -> tuple[list[StoredItem], bool]:
            rows = connection.execute(
                f"""SELECT {ITEM_COLUMNS} FROM {ITEM_TABLES}
                    WHERE catalog_id = :catalog_id AND {IS_LIVE}
                    AND item_id IN (SELECT value FROM json_each(:ids)) ORDER BY item_id""",
                values,
            )
            items, is_cut = parse_page(rows, len(item_ids), max_bytes)
            if not with_vectors:
                return items, is_cut
            page = add_vectors(connection, generation, items, max_bytes)
            return page, is_cut or len(page) < len(items)

        return await self._database.read(query, ReadKind.SCAN, at_one_moment=with_vectors)

    async def list_page(
        self,
        generation: Generation,
        after: str,
        limit: int,
        max_bytes: int,
        *,
        with_vectors: bool = False,
    ) -> ItemPage:
        """Return items with ids after `after`, by ascending id in byte order.

        The page ends at `limit` items, or with the item whose text and attributes, or whose
        vectors, make it exceed `max_bytes`.
        """
        values = self._values(generation, after=after, limit=limit + 1)

        def query(connection: Connection) -> ItemPage:
            rows = connection.execute(
                f"""SELECT {ITEM_COLUMNS} FROM {ITEM_TABLES}
                    WHERE catalog_id = :catalog_id AND item_id > :after AND {IS_LIVE}
                    ORDER BY item_id LIMIT :limit""",
                values,
            )
            items, more = parse_page(rows, limit, max_bytes)
            if with_vectors:
                page = add_vectors(connection, generation, items, max_bytes)
                items, more = page, more or len(page) < len(items)
            return ItemPage(items, _count(connection, values), more)

        return await self._database.read(query, ReadKind.SCAN, at_one_moment=with_vectors)

    async def list_attributes(
        self, generation: Generation, after: str, limit: int
    ) -> list[tuple[str, str]]:
        """Return ids after `after`, ascending in byte order, each with its attributes as JSON."""
        values = self._values(generation, after=after, limit=limit)

        def query(connection: Connection) -> list[tuple[str, str]]:
            return connection.execute(
                f"""SELECT item_id, attributes FROM items
                    WHERE catalog_id = :catalog_id AND item_id > :after AND {IS_LIVE}
                    ORDER BY item_id LIMIT :limit""",
                values,
            ).fetchall()

        return await self._database.read(query, ReadKind.SCAN)

    async def count(self, generation: Generation) -> int:
        """Return the number of items in the catalog."""
        values = self._values(generation)
        return await self._database.read(
            lambda connection: _count(connection, values), ReadKind.SCAN
        )

    async def text_beginnings(
        self, generation: Generation, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, str]:
        """Return the first characters of the texts of the items among `item_ids`, by id.

        The texts are without markup.
        """
        text_format = generation.text_format
        values = self._values(
            generation,
            ids=json.dumps(item_ids),
            characters=count_needed_characters(text_format, characters),
        )

        def query(connection: Connection) -> Mapping[str, str]:
            rows = connection.execute(
                f"""SELECT item_id, substr(text, 1, :characters) FROM items
                    WHERE catalog_id = :catalog_id AND {IS_LIVE}
                    AND item_id IN (SELECT value FROM json_each(:ids))""",
                values,
            )
            return {
                item_id: read_beginning(text, text_format, characters) for item_id, text in rows
            }

        return await self._database.read(query)

    async def excerpts(
        self, generation: Generation, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, ItemExcerpt]:
        """Return the items among `item_ids` with the first characters of their texts, by id.

        The texts are without markup.
        """
        text_format = generation.text_format
        values = self._values(
            generation,
            ids=json.dumps(item_ids),
            characters=count_needed_characters(text_format, characters),
        )

        def query(connection: Connection) -> Mapping[str, ItemExcerpt]:
            rows = connection.execute(
                f"""SELECT item_id, substr(text, 1, :characters), attributes, sequence, item_key,
                        EXISTS (SELECT 1 FROM pending WHERE generation_id = :generation_id
                            AND pending.item_key = items.item_key)
                    FROM items WHERE catalog_id = :catalog_id AND {IS_LIVE}
                    AND item_id IN (SELECT value FROM json_each(:ids))""",
                values,
            )
            return {
                item_id: ItemExcerpt(
                    read_beginning(text, text_format, characters),
                    attributes,
                    sequence,
                    item_key,
                    bool(is_pending),
                )
                for item_id, text, attributes, sequence, item_key, is_pending in rows
            }

        return await self._database.read(query, ReadKind.SCAN)

    async def latest_text_beginnings(
        self, generation: Generation, items: int, characters: int
    ) -> list[str]:
        """Return the first characters, without markup, of the texts of items that changed last.

        Args:
            generation: a generation of the catalog.
            items: the number of changes to look at; some of them can be deletions.
            characters: the number of characters of each text.
        """
        text_format = generation.text_format
        values = self._values(
            generation,
            items=items,
            characters=count_needed_characters(text_format, characters),
        )

        def query(connection: Connection) -> list[str]:
            rows = connection.execute(
                f"""SELECT substr(text, 1, :characters) FROM
                        (SELECT * FROM items WHERE catalog_id = :catalog_id
                         ORDER BY change_sequence DESC LIMIT :items) AS items
                    WHERE {IS_LIVE}""",
                values,
            )
            return [read_beginning(text, text_format, characters) for (text,) in rows]

        return await self._database.read(query, ReadKind.SCAN)

    async def last_change(self, generation: Generation) -> int:
        """Return the sequence number of the last change of an item of the catalog, 0 if none."""

        def query(connection: Connection) -> int:
            (sequence,) = connection.execute(
                "SELECT max(change_sequence) FROM items WHERE catalog_id = ?",
                (generation.catalog_id,),
            ).fetchone()
            # The last change can be a deletion whose tombstone is gone.
            return max(sequence or 0, read_purged_sequence(connection, generation.catalog_id))

        return await self._database.read(query)

    async def undeleted_ids(self, generation: Generation) -> tuple[set[str], int]:
        """Return the ids of all items of the catalog that are not deleted, expired ones included.

        Returns:
            The ids, and the sequence number of the last write that they reflect.
        """

        def query(connection: Connection) -> tuple[set[str], int]:
            # Two indexes have all that is needed; the rows with their texts are not read.
            ids, deleted_ids = (
                {
                    item_id
                    for (item_id,) in connection.execute(
                        f"SELECT item_id FROM items WHERE catalog_id = ? {condition}",
                        (generation.catalog_id,),
                    )
                }
                for condition in ("", "AND deleted")
            )
            return ids - deleted_ids, self._database.read_last_anchor(connection).sequence

        # The ids and the number must be of the same moment.
        return await self._database.read(query, ReadKind.SCAN, at_one_moment=True)

    async def own_vector_ids(self, generation: Generation) -> list[str]:
        """Return the ids of the items whose serving vectors callers gave, in no particular order.

        Deleted items have no vectors; expired items are included.
        """
        return await self._database.read(
            lambda connection: read_own_vector_ids(connection, generation), ReadKind.SCAN
        )

    async def chunk_hashes(
        self, generation: Generation, item_ids: Sequence[str]
    ) -> Mapping[str, Sequence[bytes]]:
        """Return the text hashes of the vectors of items in the order of their chunks, by id."""
        return await self._database.read(
            lambda connection: read_text_hashes(connection, generation, item_ids)
        )

    def _values(self, generation: Generation, **others: int | str) -> dict[str, int | str]:
        """Return the values that queries name: those of every condition, and others."""
        return {
            "catalog_id": generation.catalog_id,
            "generation_id": generation.generation_id,
            "now_us": self._database.now_us(),
            **others,
        }


def read_items(
    connection: Connection,
    generation: Generation,
    item_ids: Sequence[str],
    now_us: int,
    max_text_bytes: int | None = None,
) -> dict[str, StoredItem]:
    """Return the live items among `item_ids`, by id.

    Raises:
        AnswerTooLarge: their texts exceed `max_text_bytes`; the rest is not read.
    """
    items: dict[str, StoredItem] = {}
    text_bytes = 0
    ids_per_statement = IDS_PER_STATEMENT if max_text_bytes is None else IDS_PER_BOUNDED_STATEMENT
    for start in range(0, len(item_ids), ids_per_statement):
        batch = item_ids[start : start + ids_per_statement]
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
        for row in rows:
            items[row[0]] = parse_item(row)
            text_bytes += len(row[1].encode())
            if max_text_bytes is not None and text_bytes > max_text_bytes:
                raise errors.AnswerTooLarge(
                    f"the texts of the items exceed {max_text_bytes} bytes: "
                    "request fewer items, or only their ids"
                )
    return items


def _count(connection: Connection, values: Mapping[str, int | str]) -> int:
    (number,) = connection.execute(
        f"SELECT count(*) FROM items WHERE catalog_id = :catalog_id AND {IS_LIVE}", values
    ).fetchone()
    return int(number)
