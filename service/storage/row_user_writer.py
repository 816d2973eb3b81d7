"""Writes users row by row, for a database in the same process, where a statement costs little."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.generations import Generation, LiveGeneration
from service.domain.users import StoredUser, User
from service.storage.like_changes import NO_LIKED_ITEMS, note_changed_list
from service.storage.records import UserWrite
from service.storage.user_writer import encode_user, split_preferences
from service.storage.users import select_user
from service.storage.vectors import note_pending_user, set_user_vectors
from service.storage.writer import Transaction


class RowUserWriter:
    """Writes each user with statements of its own: see UserWriter."""

    def find(
        self, transaction: Transaction, generation: Generation, user_id: str
    ) -> StoredUser | None:
        """Return a user as the transaction leaves it so far; None if there is none."""
        return select_user(transaction.connection, generation, user_id)

    def upsert(
        self,
        transaction: Transaction,
        generation: Generation,
        live_generations: Sequence[LiveGeneration],
        writes: Sequence[UserWrite],
    ) -> list[StoredUser]:
        """Store users in order in every generation of their catalog: see UserWriter."""
        catalog_id = generation.catalog_id
        return [_upsert(transaction, catalog_id, live_generations, write) for write in writes]


def _upsert(
    transaction: Transaction,
    catalog_id: int,
    live_generations: Sequence[LiveGeneration],
    write: UserWrite,
) -> StoredUser:
    user_key, sequence = _write_row(transaction, catalog_id, write.user)
    for generation, chunks in split_preferences(write, live_generations):
        if chunks is None:
            note_pending_user(transaction, generation, user_key)
        else:
            set_user_vectors(transaction, generation, user_key, chunks)
    return StoredUser(write.user, sequence, transaction.now_us)


def _write_row(transaction: Transaction, catalog_id: int, user: User) -> tuple[int, int]:
    """Insert or replace the row of a user; return its key and the sequence number."""
    sequence = transaction.next_sequence()
    preferences, liked_items, weighted_ids = encode_user(user)
    connection = transaction.connection
    row = connection.execute(
        "SELECT liked_items FROM users WHERE catalog_id = ? AND user_id = ?",
        (catalog_id, user.user_id),
    ).fetchone()
    (former,) = row or (NO_LIKED_ITEMS,)
    note_changed_list(connection, catalog_id, former, liked_items, weighted_ids)
    (user_key,) = connection.execute(
        """INSERT INTO users
               (catalog_id, user_id, preferences, liked_items, sequence, update_time_us)
           VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (catalog_id, user_id) DO UPDATE SET
               preferences = excluded.preferences, liked_items = excluded.liked_items,
               sequence = excluded.sequence, update_time_us = excluded.update_time_us
           RETURNING user_key""",
        (catalog_id, user.user_id, preferences, liked_items, sequence, transaction.now_us),
    ).fetchone()
    return user_key, sequence
