"""Reads the vectors of items, for callers that asked for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.domain.generations import Generation
from service.domain.items import StoredItem
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
    vectors: dict[str, list[bytes]] = {}
    for item_id, vector in connection.execute(
        """SELECT item_id, vector FROM items JOIN item_vectors USING (item_key)
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
        vectors.setdefault(item_id, []).append(vector)
    return vectors
