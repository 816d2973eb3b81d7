"""The SQL of items that wait for their vectors. All of it runs inside a connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from service.domain.generations import Generation
from service.domain.vectors import Chunk
from service.storage.records import PendingItem
from service.storage.vectors import embed, keep
from service.storage.writer import Transaction


def reasons(connection: sqlite3.Connection, generation: Generation) -> dict[str, int]:
    """How many items wait, by reason, most first."""
    rows = connection.execute(
        """SELECT reason, count(*) FROM pending WHERE layer_id = ?
           GROUP BY reason ORDER BY count(*) DESC, reason""",
        (generation.generation_id,),
    )
    return dict(rows.fetchall())


def retry_all(transaction: Transaction) -> None:
    """Makes every pending item due, as if it had never been tried."""
    transaction.connection.execute(
        "UPDATE pending SET attempts = 0, next_attempt_us = ?", (transaction.now_us,)
    )


def due_pending(
    connection: sqlite3.Connection, generation: Generation, now_us: int, limit: int
) -> list[PendingItem]:
    """Items whose next attempt at embedding is due, longest due first."""
    rows = connection.execute(
        """SELECT item_key, sequence, text, attempts FROM pending JOIN items USING (item_key)
           WHERE layer_id = ? AND next_attempt_us <= ? ORDER BY next_attempt_us LIMIT ?""",
        (generation.generation_id, now_us, limit),
    )
    return [PendingItem(*row) for row in rows]


def settle(
    transaction: Transaction,
    generation: Generation,
    pending: PendingItem,
    chunks: Sequence[Chunk],
) -> int:
    """Gives a pending item its vectors, unless it was written again meanwhile.

    Returns:
        The change's sequence, 0 if the item is another by now.
    """
    sequence = transaction.next_sequence()
    changed = transaction.connection.execute(
        "UPDATE items SET change_sequence = ? WHERE item_key = ? AND sequence = ?",
        (sequence, pending.item_key, pending.sequence),
    ).rowcount
    # What was paid for is kept even where the item is another by now.
    keep(transaction.connection, generation, chunks)
    if not changed:
        return 0
    embed(transaction.connection, generation, pending.item_key, chunks)
    return sequence


def postpone(
    transaction: Transaction,
    generation: Generation,
    pending: PendingItem,
    reason: str,
    next_attempt_us: int,
) -> None:
    """Notes a failed attempt at a pending item, unless it was written again meanwhile."""
    transaction.connection.execute(
        """UPDATE pending SET reason = ?, attempts = attempts + 1, next_attempt_us = ?
           WHERE layer_id = ?
           AND item_key = (SELECT item_key FROM items WHERE item_key = ? AND sequence = ?)""",
        (reason, next_attempt_us, generation.generation_id, pending.item_key, pending.sequence),
    )
