"""The SQL that fills a new generation. All of it runs inside a connection's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from service.domain.generations import Generation
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.storage import vectors
from service.storage.records import NEVER_US, PendingItem
from service.storage.writer import Transaction


class Filled(NamedTuple):
    """How many items have a generation's vectors for their present texts, or never will."""

    embedded: int
    rejected: int


def unfilled(
    connection: sqlite3.Connection, generation: Generation, after: int, limit: int
) -> list[PendingItem]:
    """Items beyond a key that have no vectors in a generation, nor wait for them, by key."""
    rows = connection.execute(
        """SELECT item_key, sequence, text FROM items
           WHERE item_key > :after AND catalog_id = :catalog_id AND NOT deleted
           AND NOT EXISTS (SELECT 1 FROM item_vectors WHERE layer_id = :layer_id
               AND item_vectors.item_key = items.item_key)
           AND NOT EXISTS (SELECT 1 FROM pending WHERE layer_id = :layer_id
               AND pending.item_key = items.item_key)
           ORDER BY item_key LIMIT :limit""",
        {
            "after": after,
            "catalog_id": generation.catalog_id,
            "layer_id": generation.generation_id,
            "limit": limit,
        },
    )
    return [PendingItem(item_key, sequence, text, 0) for item_key, sequence, text in rows]


def fill(
    transaction: Transaction,
    generation: Generation,
    filled: Sequence[tuple[PendingItem, Sequence[Chunk]]],
    spent: TokenUsage,
) -> None:
    """Gives items that were not written again meanwhile their vectors.

    Nobody follows the generation yet, so that this is no change of the items: those who follow the
    serving one would take in each anew.
    """
    for item, chunks in filled:
        if _is_as_read(transaction.connection, generation, item):
            vectors.embed(transaction.connection, generation, item.item_key, chunks)
        else:
            vectors.keep(transaction.connection, generation, chunks)
    _add(transaction, generation, spent)


def refuse(
    transaction: Transaction, generation: Generation, item: PendingItem, reason: str
) -> None:
    """Has an item that was not written again meanwhile wait."""
    if _is_as_read(transaction.connection, generation, item):
        transaction.connection.execute(
            "INSERT INTO pending VALUES (?, ?, ?, 1, ?) ON CONFLICT DO NOTHING",
            (generation.generation_id, item.item_key, reason, transaction.now_us),
        )


def preferences(
    connection: sqlite3.Connection, generation: Generation, after: int, limit: int
) -> tuple[list[str], int | None]:
    """The texts of the preferences of users beyond a key, and the last one's key."""
    rows = connection.execute(
        """SELECT user_key, preferences FROM users WHERE catalog_id = ? AND user_key > ?
           ORDER BY user_key LIMIT ?""",
        (generation.catalog_id, after, limit),
    ).fetchall()
    texts = [text for _, each in rows for text, _ in json.loads(each)]
    return texts, rows[-1][0] if rows else None


def keep(
    transaction: Transaction, generation: Generation, chunks: Sequence[Chunk], spent: TokenUsage
) -> None:
    """Keeps vectors of a generation's space, and notes what they took."""
    vectors.keep(transaction.connection, generation, chunks)
    _add(transaction, generation, spent)


def filled(connection: sqlite3.Connection, generation: Generation) -> Filled:
    """How many items have a generation's vectors, and how many never will."""
    (embedded,) = connection.execute(
        """SELECT count(*) FROM item_vectors WHERE layer_id = :layer_id AND position = 0
           AND item_key NOT IN (SELECT item_key FROM pending WHERE layer_id = :layer_id)""",
        {"layer_id": generation.generation_id},
    ).fetchone()
    (rejected,) = connection.execute(
        "SELECT count(*) FROM pending WHERE layer_id = ? AND next_attempt_us >= ?",
        (generation.generation_id, NEVER_US),
    ).fetchone()
    return Filled(embedded, rejected)


def text_count(connection: sqlite3.Connection, generation: Generation) -> int:
    """How many items a catalog has."""
    (number,) = connection.execute(
        "SELECT count(*) FROM items WHERE catalog_id = ? AND NOT deleted", (generation.catalog_id,)
    ).fetchone()
    return int(number)


def _is_as_read(connection: sqlite3.Connection, generation: Generation, item: PendingItem) -> bool:
    row = connection.execute(
        """SELECT 1 FROM items JOIN layers USING (catalog_id)
           WHERE item_key = ? AND sequence = ? AND layer_id = ? AND state = 'embedding'""",
        (item.item_key, item.sequence, generation.generation_id),
    ).fetchone()
    return row is not None


def _add(transaction: Transaction, generation: Generation, spent: TokenUsage) -> None:
    transaction.connection.execute(
        """UPDATE layers SET prompt_tokens = prompt_tokens + ?, cost_usd = cost_usd + ?
           WHERE layer_id = ?""",
        (spent.prompt_tokens, spent.cost_usd, generation.generation_id),
    )
