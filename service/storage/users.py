"""The SQL of users. All of it runs inside a connection's thread."""

from __future__ import annotations

import json
import sqlite3

from service.domain.users import LikedItem, Preference, StoredUser, User
from service.storage.writer import Transaction


def get(connection: sqlite3.Connection, catalog_id: int, user_id: str) -> StoredUser | None:
    """The user, if there is one."""
    row = connection.execute(
        """SELECT preferences, liked_items, sequence, update_time_us FROM users
           WHERE catalog_id = ? AND user_id = ?""",
        (catalog_id, user_id),
    ).fetchone()
    if row is None:
        return None
    preferences, liked_items, sequence, update_time_us = row
    user = User(
        user_id,
        tuple(Preference(*each) for each in json.loads(preferences)),
        tuple(LikedItem(*each) for each in json.loads(liked_items)),
    )
    return StoredUser(user, sequence, update_time_us)


def count(connection: sqlite3.Connection, catalog_id: int) -> int:
    """How many users the catalog has."""
    (number,) = connection.execute(
        "SELECT count(*) FROM users WHERE catalog_id = ?", (catalog_id,)
    ).fetchone()
    return int(number)


def upsert(transaction: Transaction, catalog_id: int, user: User) -> StoredUser:
    """Stores one user, replacing the one with the same id."""
    sequence = transaction.next_sequence()
    transaction.connection.execute(
        """INSERT INTO users
               (catalog_id, user_id, preferences, liked_items, sequence, update_time_us)
           VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (catalog_id, user_id) DO UPDATE SET
               preferences = excluded.preferences, liked_items = excluded.liked_items,
               sequence = excluded.sequence, update_time_us = excluded.update_time_us""",
        (
            catalog_id,
            user.user_id,
            json.dumps([(each.text, each.weight) for each in user.preferences]),
            json.dumps([(each.item_id, each.weight) for each in user.liked_items]),
            sequence,
            transaction.now_us,
        ),
    )
    return StoredUser(user, sequence, transaction.now_us)


def delete(transaction: Transaction, catalog_id: int, user_id: str) -> bool:
    """Deletes one user; False if there was none."""
    transaction.next_sequence()
    cursor = transaction.connection.execute(
        "DELETE FROM users WHERE catalog_id = ? AND user_id = ?", (catalog_id, user_id)
    )
    return cursor.rowcount > 0
