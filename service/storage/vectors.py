"""Vectors, stored once for each text and space, and the vectors that each item has.

The functions run inside the transactions of other stores.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.generations import Generation
from service.domain.vectors import Chunk
from service.storage.database import Database


class VectorStore:
    """Vectors by the hash of their text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_many(
        self, generation: Generation, hashes: Sequence[bytes]
    ) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors that the generation's space has for these text hashes.

        Returns:
            float32 vectors of the space's dimensions, by hash.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

        def query(connection: sqlite3.Connection) -> dict[bytes, NDArray[np.float32]]:
            vectors: dict[bytes, NDArray[np.float32]] = {}
            for text_hash in hashes:
                row = connection.execute(
                    "SELECT vector FROM vectors WHERE space_id = ? AND text_hash = ?",
                    (generation.space_id, text_hash),
                ).fetchone()
                if row is not None:
                    vectors[text_hash] = np.frombuffer(row[0], "<f4")
            return vectors

        return await self._database.read(query)


def insert_vectors(connection: sqlite3.Connection, space_id: int, chunks: Sequence[Chunk]) -> None:
    """Store the vectors of chunks that the space does not have yet."""
    vectors = {chunk.text_hash: chunk.vector.tobytes() for chunk in chunks}
    connection.executemany(
        "INSERT INTO vectors (space_id, text_hash, vector) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ((space_id, text_hash, vector) for text_hash, vector in vectors.items()),
    )


def set_item_vectors(
    connection: sqlite3.Connection,
    generation: Generation,
    item_key: int,
    chunks: Sequence[Chunk],
) -> None:
    """Replace the vectors of an item in a generation, in which it is then no longer pending."""
    insert_vectors(connection, generation.space_id, chunks)
    vector_ids = [
        connection.execute(
            "SELECT vector_id FROM vectors WHERE space_id = ? AND text_hash = ?",
            (generation.space_id, chunk.text_hash),
        ).fetchone()[0]
        for chunk in chunks
    ]
    for table in ("item_vectors", "pending"):
        connection.execute(
            f"DELETE FROM {table} WHERE generation_id = ? AND item_key = ?",
            (generation.generation_id, item_key),
        )
    connection.executemany(
        "INSERT INTO item_vectors (generation_id, item_key, position, vector_id) "
        "VALUES (?, ?, ?, ?)",
        (
            (generation.generation_id, item_key, position, vector_id)
            for position, vector_id in enumerate(vector_ids)
        ),
    )


def remove_item_vectors(connection: sqlite3.Connection, item_key: int) -> None:
    """Remove an item's vectors and pending work from every generation of its catalog."""
    for table in ("item_vectors", "pending"):
        connection.execute(
            f"""DELETE FROM {table} WHERE item_key = :key AND generation_id IN
                (SELECT generation_id FROM generations JOIN items USING (catalog_id)
                 WHERE item_key = :key)""",
            {"key": item_key},
        )
