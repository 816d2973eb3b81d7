"""Reads the vectors of items, and the hashes of the texts that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from service.domain.generations import Generation
from service.domain.items import StoredItem
from service.domain.own_vectors import OWN_ADDRESS_BYTES
from service.storage.sql import Connection

# Items whose vectors are in memory at once. Those of the longest text take some MiB.
ITEMS_WITH_VECTORS = 50


def add_vectors(
    connection: Connection, generation: Generation, items: Sequence[StoredItem], max_bytes: int
) -> list[StoredItem]:
    """Return items with their vectors, up to the item whose vectors exceed `max_bytes`."""
    page: list[StoredItem] = []
    size_bytes = 0
    for start in range(0, len(items), ITEMS_WITH_VECTORS):
        batch = items[start : start + ITEMS_WITH_VECTORS]
        vectors = read_vectors(connection, generation, [stored.item.item_id for stored in batch])
        for stored in batch:
            if size_bytes > max_bytes:
                return page
            item_vectors = vectors.get(stored.item.item_id, ())
            page.append(replace(stored, vectors=item_vectors))
            size_bytes += sum(map(len, item_vectors))
    return page


def read_vectors(
    connection: Connection, generation: Generation, item_ids: Sequence[str]
) -> Mapping[str, Sequence[bytes]]:
    """Return the vectors of items in the order of their chunks, as float32 bytes, by id."""
    return _read_chunks(connection, generation, item_ids, "vector")


def read_text_hashes(
    connection: Connection, generation: Generation, item_ids: Sequence[str]
) -> Mapping[str, Sequence[bytes]]:
    """Return the text hashes of the vectors of items in the order of their chunks, by id."""
    return _read_chunks(connection, generation, item_ids, "text_hash")


def read_own_vector_ids(connection: Connection, generation: Generation) -> list[str]:
    """Return the ids of the items whose vectors in a generation callers gave."""
    rows = connection.execute(
        f"""SELECT item_id FROM item_vectors CROSS JOIN vectors USING (vector_id)
            CROSS JOIN items USING (item_key)
            WHERE generation_id = ? AND position = 0
            AND length(text_hash) = {OWN_ADDRESS_BYTES}""",
        (generation.generation_id,),
    )
    return [item_id for (item_id,) in rows]


def _read_chunks(
    connection: Connection,
    generation: Generation,
    item_ids: Sequence[str],
    column: Literal["vector", "text_hash"],
) -> Mapping[str, Sequence[bytes]]:
    """Return a column of the vectors of items in the order of their chunks, by id."""
    values: dict[str, list[bytes]] = {}
    for item_id, value in connection.execute(
        f"""SELECT item_id, {column} FROM items JOIN item_vectors USING (item_key)
            JOIN vectors USING (vector_id)
            WHERE catalog_id = :catalog_id
            AND item_id IN (SELECT value FROM json_each(:ids))
            AND generation_id = :generation_id ORDER BY item_key, position""",
        {
            "catalog_id": generation.catalog_id,
            "generation_id": generation.generation_id,
            "ids": json.dumps(item_ids),
        },
    ):
        values.setdefault(item_id, []).append(value)
    return values
