"""The SQL of items that wait for their vectors. All of it runs inside a connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from service.storage.items import set_more_vectors, vector_ids_of
from service.storage.values import Passage, PendingItem
from service.storage.writer import Transaction

NEVER_US = 2**62
"""As the time of the next attempt: not before the item is written again, or the server restarts."""


def reasons(connection: sqlite3.Connection, catalog_id: int) -> dict[str, int]:
    """How many items wait, by reason, most first."""
    rows = connection.execute(
        """SELECT reason, count(*) FROM pending JOIN items USING (item_key)
           WHERE catalog_id = ? GROUP BY reason ORDER BY count(*) DESC, reason""",
        (catalog_id,),
    )
    return dict(rows.fetchall())


def retry_all(transaction: Transaction) -> None:
    """Makes every pending item due, as if it had never been tried."""
    transaction.connection.execute(
        "UPDATE pending SET attempts = 0, next_attempt_us = ?", (transaction.now_us,)
    )


def due_pending(
    connection: sqlite3.Connection, catalog_id: int, now_us: int, limit: int
) -> list[PendingItem]:
    """Items whose next attempt at embedding is due, longest due first."""
    rows = connection.execute(
        """SELECT item_key, sequence, text, attempts FROM pending JOIN items USING (item_key)
           WHERE catalog_id = ? AND next_attempt_us <= ? ORDER BY next_attempt_us LIMIT ?""",
        (catalog_id, now_us, limit),
    )
    return [PendingItem(*row) for row in rows]


def settle(
    transaction: Transaction, space_id: int, pending: PendingItem, passages: Sequence[Passage]
) -> int:
    """Gives a pending item its vectors, unless it was written again meanwhile.

    Returns:
        The change's sequence, 0 if the item is another by now.
    """
    vector_ids = vector_ids_of(transaction.connection, space_id, passages)
    sequence = transaction.next_sequence()
    changed = transaction.connection.execute(
        """UPDATE items SET change_sequence = :change, vector_id = :vector_id
           WHERE item_key = :item_key AND sequence = :sequence""",
        {
            "change": sequence,
            "vector_id": vector_ids[0],
            "item_key": pending.item_key,
            "sequence": pending.sequence,
        },
    ).rowcount
    if not changed:
        return 0
    transaction.connection.execute("DELETE FROM pending WHERE item_key = ?", (pending.item_key,))
    set_more_vectors(transaction.connection, pending.item_key, vector_ids[1:])
    return sequence


def postpone(
    transaction: Transaction, pending: PendingItem, reason: str, next_attempt_us: int
) -> None:
    """Notes a failed attempt at a pending item, unless it was written again meanwhile."""
    transaction.connection.execute(
        """UPDATE pending SET reason = ?, attempts = attempts + 1, next_attempt_us = ?
           WHERE item_key = (SELECT item_key FROM items WHERE item_key = ? AND sequence = ?)""",
        (reason, next_attempt_us, pending.item_key, pending.sequence),
    )
