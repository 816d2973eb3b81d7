"""The SQL of what analyses need to know of items beside their vectors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from service.domain.generations import Generation
from service.storage.records import Written

_WRITTEN = """
    SELECT item_id, substr(text, 1, :characters), attributes, sequence, item_key,
        EXISTS (SELECT 1 FROM pending
            WHERE layer_id = :layer_id AND pending.item_key = items.item_key)
    FROM items WHERE catalog_id = :catalog_id AND NOT deleted
    AND (expire_time_us IS NULL OR expire_time_us > :now_us)
    AND item_id IN (SELECT value FROM json_each(:ids))"""

_HASHES = """
    SELECT item_id, text_hash FROM items JOIN item_vectors USING (item_key)
    JOIN vectors USING (vector_id)
    WHERE catalog_id = :catalog_id AND item_id IN (SELECT value FROM json_each(:ids))
    AND layer_id = :layer_id ORDER BY item_key, position"""


def written(
    connection: sqlite3.Connection,
    generation: Generation,
    item_ids: Sequence[str],
    characters: int,
    now_us: int,
) -> dict[str, Written]:
    """The live ones among `item_ids`, with the first characters of their texts."""
    rows = connection.execute(
        _WRITTEN,
        {
            "catalog_id": generation.catalog_id,
            "layer_id": generation.generation_id,
            "ids": json.dumps(item_ids),
            "characters": characters,
            "now_us": now_us,
        },
    )
    return {
        item_id: Written(text, attributes, sequence, order, bool(waits))
        for item_id, text, attributes, sequence, order, waits in rows
    }


def chunk_hashes(
    connection: sqlite3.Connection, generation: Generation, item_ids: Sequence[str]
) -> dict[str, list[bytes]]:
    """What the vectors of items are kept by, in the order of their chunks."""
    found: dict[str, list[bytes]] = {}
    ids = json.dumps(item_ids)
    rows = connection.execute(
        _HASHES,
        {"catalog_id": generation.catalog_id, "layer_id": generation.generation_id, "ids": ids},
    )
    for item_id, text_hash in rows:
        found.setdefault(item_id, []).append(text_hash)
    return found
