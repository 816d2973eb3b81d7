"""Reads the vectors of items, and the hashes of the texts that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.own_vectors import OWN_ADDRESS_BYTES
from service.storage.sql import Connection

# The vectors of the chunks of items.
_CHUNKS = """FROM items JOIN item_vectors USING (item_key) JOIN vectors USING (vector_id)
    WHERE catalog_id = :catalog_id AND item_id IN (SELECT value FROM json_each(:ids))
    AND generation_id = :generation_id"""


def add_vectors(
    connection: Connection, generation: Generation, items: Sequence[StoredItem], max_bytes: int
) -> list[StoredItem]:
    """Return items with their vectors, up to the item whose vectors exceed `max_bytes`.

    Pending items get none: vectors that still serve are those of a former version.
    """
    ids = [stored.item.item_id for stored in items if stored.state is not ItemState.PENDING]
    sizes = _read_vector_bytes(connection, generation, ids)
    page: list[StoredItem] = []
    size_bytes = 0
    for stored in items:
        if size_bytes > max_bytes:
            break
        page.append(stored)
        size_bytes += sizes.get(stored.item.item_id, 0)
    vectors = read_vectors(
        connection,
        generation,
        [stored.item.item_id for stored in page if stored.item.item_id in sizes],
    )
    return [replace(stored, vectors=vectors.get(stored.item.item_id, ())) for stored in page]


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


def _read_vector_bytes(
    connection: Connection, generation: Generation, item_ids: Sequence[str]
) -> Mapping[str, int]:
    """Return how many bytes the vectors of those items have that have any, by id."""
    rows = connection.execute(
        f"SELECT item_id, sum(length(vector)) {_CHUNKS} GROUP BY item_id",
        _values(generation, item_ids),
    )
    return {item_id: int(size_bytes) for item_id, size_bytes in rows}


def _read_chunks(
    connection: Connection,
    generation: Generation,
    item_ids: Sequence[str],
    column: Literal["vector", "text_hash"],
) -> Mapping[str, Sequence[bytes]]:
    """Return a column of the vectors of items in the order of their chunks, by id."""
    values: dict[str, list[bytes]] = {}
    for item_id, value in connection.execute(
        f"SELECT item_id, {column} {_CHUNKS} ORDER BY item_key, position",
        _values(generation, item_ids),
    ):
        values.setdefault(item_id, []).append(value)
    return values


def _values(generation: Generation, item_ids: Sequence[str]) -> dict[str, int | str]:
    """Return the values that a query of the chunks of items names."""
    return {
        "catalog_id": generation.catalog_id,
        "generation_id": generation.generation_id,
        "ids": json.dumps(item_ids),
    }
