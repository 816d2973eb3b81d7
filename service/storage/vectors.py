"""The SQL of vectors, and of whose they are. All of it runs inside a connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from service.domain.generations import Generation
from service.domain.vectors import Chunk


def insert(connection: sqlite3.Connection, space_id: int, vectors: Mapping[bytes, bytes]) -> None:
    """Keeps vectors under their texts' hashes; one that is there already stays."""
    connection.executemany(
        "INSERT INTO vectors (space_id, text_hash, vector) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ((space_id, key, vector) for key, vector in vectors.items()),
    )


def _ids_of(connection: sqlite3.Connection, space_id: int, chunks: Sequence[Chunk]) -> list[int]:
    """The ids of the chunks' vectors, which are stored on the way if they are new."""
    insert(connection, space_id, {each.text_hash: each.vector.tobytes() for each in chunks})
    return [
        connection.execute(
            "SELECT vector_id FROM vectors WHERE space_id = ? AND text_hash = ?",
            (space_id, each.text_hash),
        ).fetchone()[0]
        for each in chunks
    ]


def embed(
    connection: sqlite3.Connection,
    generation: Generation,
    item_key: int,
    chunks: Sequence[Chunk],
) -> None:
    """Gives an item its vectors in a generation, for which it waits no more."""
    vector_ids = _ids_of(connection, generation.space_id, chunks)
    for table in ("item_vectors", "pending"):
        connection.execute(
            f"DELETE FROM {table} WHERE layer_id = ? AND item_key = ?",
            (generation.generation_id, item_key),
        )
    connection.executemany(
        "INSERT INTO item_vectors VALUES (?, ?, ?, ?)",
        (
            (generation.generation_id, item_key, position, vector_id)
            for position, vector_id in enumerate(vector_ids)
        ),
    )


def keep(connection: sqlite3.Connection, generation: Generation, chunks: Sequence[Chunk]) -> None:
    """Keeps the vectors of chunks, whatever they are for."""
    insert(
        connection,
        generation.space_id,
        {each.text_hash: each.vector.tobytes() for each in chunks},
    )


def known(
    connection: sqlite3.Connection, space_id: int, hashes: Sequence[bytes]
) -> dict[bytes, bytes]:
    """The vectors known for `hashes`."""
    found: dict[bytes, bytes] = {}
    for key in hashes:
        row = connection.execute(
            "SELECT vector FROM vectors WHERE space_id = ? AND text_hash = ?", (space_id, key)
        ).fetchone()
        if row is not None:
            found[key] = row[0]
    return found


def forget(connection: sqlite3.Connection, item_key: int) -> None:
    """Has an item serve in no generation, nor wait to."""
    for table in ("item_vectors", "pending"):
        connection.execute(
            f"""DELETE FROM {table} WHERE item_key = :key AND layer_id IN (SELECT layer_id
                FROM layers JOIN items USING (catalog_id) WHERE item_key = :key)""",
            {"key": item_key},
        )


def changed(
    connection: sqlite3.Connection, generation: Generation, after: int, reached: int
) -> dict[int, list[bytes]]:
    """By item, the vectors of its chunks, of what changed in (after, reached]."""
    found: dict[int, list[bytes]] = {}
    for item_key, vector in connection.execute(
        """SELECT item_key, vector FROM items CROSS JOIN item_vectors USING (item_key)
           CROSS JOIN vectors USING (vector_id)
           WHERE catalog_id = ? AND change_sequence > ? AND change_sequence <= ? AND layer_id = ?
           ORDER BY item_key, position""",
        (generation.catalog_id, after, reached, generation.generation_id),
    ):
        found.setdefault(item_key, []).append(vector)
    return found
