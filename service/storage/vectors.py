"""Vectors, stored once for each text and space, and what refers to them: items and users.

The functions run inside the transactions of other stores. A vector that loses a reference, or is
stored without one, is noted in `unused_vectors`, where the purge finds it: see unused_rows.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.domain.generations import Generation
from service.domain.own_vectors import OWN_ADDRESS_BYTES
from service.domain.vectors import Chunk
from service.storage.database import Database
from service.storage.sql import Connection
from service.storage.writer import Transaction

# The tables of references, and the column of each that identifies what refers to a vector.
References = Literal["item_vectors", "user_vectors"]
REFERENCE_KEYS: dict[References, str] = {"item_vectors": "item_key", "user_vectors": "user_key"}

# Likewise the tables of what is still to be embedded.
Pending = Literal["pending", "pending_users"]
PENDING_KEYS: dict[Pending, str] = {"pending": "item_key", "pending_users": "user_key"}


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

        def query(connection: Connection) -> dict[bytes, NDArray[np.float32]]:
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


def store_unused_vectors(transaction: Transaction, space_id: int, chunks: Sequence[Chunk]) -> None:
    """Store vectors that nothing refers to; the purge removes them unless something does then."""
    vector_ids = _insert_vectors(transaction.connection, space_id, chunks)
    _note_unused(
        transaction,
        "SELECT CAST(value AS BIGINT) AS vector_id, CAST(:space_id AS BIGINT) AS space_id, "
        "CAST(:now_us AS BIGINT) AS since_us FROM json_each(:vector_ids)",
        {"space_id": space_id, "vector_ids": json.dumps(vector_ids)},
    )


def set_item_vectors(
    transaction: Transaction,
    generation: Generation,
    item_key: int,
    chunks: Sequence[Chunk],
) -> None:
    """Replace the vectors of an item in a generation, in which it is then no longer pending."""
    connection = transaction.connection
    item = {"generation_id": generation.generation_id, "item_key": item_key}
    connection.execute(
        "DELETE FROM pending WHERE generation_id = :generation_id AND item_key = :item_key", item
    )
    vector_ids = _insert_vectors(connection, generation.space_id, chunks)
    rows = connection.execute(
        """SELECT vector_id FROM item_vectors
           WHERE generation_id = :generation_id AND item_key = :item_key ORDER BY position""",
        item,
    ).fetchall()
    if [vector_id for (vector_id,) in rows] == vector_ids:
        return
    if rows:
        remove_references(transaction, "item_vectors", generation, item_key, item_key)
    connection.executemany(
        "INSERT INTO item_vectors (generation_id, item_key, position, vector_id) "
        "VALUES (?, ?, ?, ?)",
        (
            (generation.generation_id, item_key, position, vector_id)
            for position, vector_id in enumerate(vector_ids)
        ),
    )


def set_user_vectors(
    transaction: Transaction, generation: Generation, user_key: int, chunks: Sequence[Chunk]
) -> None:
    """Replace the vectors of a user's preferences in a generation, where none is then missing."""
    vector_ids = _insert_vectors(transaction.connection, generation.space_id, chunks)
    transaction.connection.execute(
        "DELETE FROM pending_users WHERE generation_id = ? AND user_key = ?",
        (generation.generation_id, user_key),
    )
    remove_references(transaction, "user_vectors", generation, user_key, user_key)
    transaction.connection.executemany(
        "INSERT INTO user_vectors (generation_id, user_key, vector_id) VALUES (?, ?, ?)",
        ((generation.generation_id, user_key, vector_id) for vector_id in sorted({*vector_ids})),
    )


def note_pending_user(transaction: Transaction, generation: Generation, user_key: int) -> None:
    """Note that a user's preferences have changed and are still to be embedded in a generation."""
    remove_references(transaction, "user_vectors", generation, user_key, user_key)
    transaction.connection.execute(
        """INSERT INTO pending_users (generation_id, user_key, next_attempt_us) VALUES (?, ?, ?)
           ON CONFLICT (generation_id, user_key) DO UPDATE
           SET next_attempt_us = excluded.next_attempt_us""",
        (generation.generation_id, user_key, transaction.now_us),
    )


def remove_item_vectors(
    transaction: Transaction, catalog_id: int, item_keys: Sequence[int]
) -> None:
    """Remove the vectors and the pending work of items from every generation of their catalog."""
    condition = "item_key IN (SELECT CAST(value AS BIGINT) FROM json_each(:keys))"
    keys = {"keys": json.dumps(item_keys)}
    _remove_everywhere(transaction, "item_vectors", "pending", catalog_id, condition, keys)


def remove_user_vectors(transaction: Transaction, catalog_id: int, user_key: int) -> None:
    """Remove a user's vectors and pending work from every generation of its catalog."""
    condition, key = "user_key = :key", {"key": user_key}
    _remove_everywhere(transaction, "user_vectors", "pending_users", catalog_id, condition, key)


def remove_references(
    transaction: Transaction,
    table: References,
    generation: Generation,
    first_key: int,
    last_key: int,
) -> int:
    """Remove the references of items or users with keys from `first_key` to `last_key`.

    Returns:
        The number of removed references.
    """
    condition = f"{REFERENCE_KEYS[table]} BETWEEN :first AND :last"
    keys = {"first": first_key, "last": last_key}
    return _remove_chosen(transaction, table, generation, condition, keys)


def _remove_everywhere(
    transaction: Transaction,
    references: References,
    pending: Pending,
    catalog_id: int,
    condition: str,
    keys: Mapping[str, int | str],
) -> None:
    """Remove the references and the pending work of what a condition chooses."""
    connection = transaction.connection
    rows = connection.execute(
        "SELECT generation_id, space_id FROM generations WHERE catalog_id = ?", (catalog_id,)
    ).fetchall()
    for generation_id, space_id in rows:
        connection.execute(
            f"DELETE FROM {pending} WHERE generation_id = :generation_id AND {condition}",
            {"generation_id": generation_id, **keys},
        )
        generation = Generation(catalog_id, "", generation_id, space_id)
        _remove_chosen(transaction, references, generation, condition, keys)


def _remove_chosen(
    transaction: Transaction,
    table: References,
    generation: Generation,
    condition: str,
    keys: Mapping[str, int | str],
) -> int:
    """Remove the references of a generation from what a condition chooses; return their number."""
    condition = f"generation_id = :generation_id AND {condition}"
    values = {
        "generation_id": generation.generation_id,
        "space_id": generation.space_id,
        **keys,
    }
    _note_unused(
        transaction,
        f"""SELECT vector_id, CAST(:space_id AS BIGINT) AS space_id,
            CAST(:now_us AS BIGINT) AS since_us FROM {table} WHERE {condition}""",
        values,
    )
    return transaction.connection.execute(f"DELETE FROM {table} WHERE {condition}", values).rowcount


def _insert_vectors(connection: Connection, space_id: int, chunks: Sequence[Chunk]) -> list[int]:
    """Store the vectors of chunks that the space does not have yet; return the ids of all."""
    vectors = {chunk.text_hash: chunk.vector.tobytes() for chunk in chunks}
    connection.executemany(
        "INSERT INTO vectors (space_id, text_hash, vector) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ((space_id, text_hash, vector) for text_hash, vector in vectors.items()),
    )
    return [
        connection.execute(
            "SELECT vector_id FROM vectors WHERE space_id = ? AND text_hash = ?",
            (space_id, chunk.text_hash),
        ).fetchone()[0]
        for chunk in chunks
    ]


def _note_unused(transaction: Transaction, select: str, values: Mapping[str, int | str]) -> None:
    """Note that the vectors of a query may be unused from now on.

    Nobody paid for the vectors that callers gave, so that the purge can remove them at once.

    Args:
        transaction: the transaction.
        select: returns the columns vector_id, space_id and since_us of each vector.
        values: what the query names, except `now_us`.
    """
    # A SELECT needs a WHERE clause before ON CONFLICT, or SQLite takes it for a join.
    transaction.connection.execute(
        f"""INSERT INTO unused_vectors (vector_id, space_id, since_us)
            SELECT DISTINCT vector_id, space_id, CASE WHEN
                (SELECT length(text_hash) FROM vectors
                    WHERE vectors.vector_id = chosen.vector_id) = {OWN_ADDRESS_BYTES}
                THEN 0 ELSE since_us END FROM ({select}) AS chosen WHERE TRUE
            ON CONFLICT (vector_id) DO UPDATE SET since_us = excluded.since_us""",
        {**values, "now_us": transaction.shared_time_us},
    )
