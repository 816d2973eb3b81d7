"""Gathers the items and users that a transaction writes, whichever callers they come from.

No statement needs the result of another one, and no caller needs one. So they are written at the
end of the transaction or before its next other statement, and all statements travel together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from service.domain.generations import Generation, LiveGeneration
from service.domain.items import StoredItem
from service.domain.users import StoredUser
from service.storage.item_writer import make_stored_item, split_by_generation
from service.storage.postgres.batch_parts import Times, to_array
from service.storage.postgres.item_batch import REMOVE_VECTORS, ItemBatch
from service.storage.postgres.postgres_connections import PostgresConnection
from service.storage.postgres.user_batch import UserBatch
from service.storage.records import ItemWrite, UserWrite
from service.storage.user_writer import split_preferences
from service.storage.users import select_user
from service.storage.writer import Transaction


class BatchItemWriter:
    """Gathers the items of a transaction in its batch: see ItemWriter."""

    def upsert(
        self,
        transaction: Transaction,
        written: Generation,
        live_generations: Sequence[LiveGeneration],
        writes: Sequence[ItemWrite],
    ) -> list[StoredItem]:
        """Store items in order in every generation of their catalog: see ItemWriter."""
        # All writes are checked before the first one is stored.
        all_parts = [split_by_generation(write, written, live_generations) for write in writes]
        batch = _open_batch(transaction, len(writes))
        stored_items = []
        for write, parts in zip(writes, all_parts, strict=True):
            sequence = transaction.next_sequence()
            batch.items.add(written.catalog_id, write.item, sequence, parts)
            stored_items.append(make_stored_item(write, parts, sequence, transaction.now_us))
        return stored_items

    def remove_vectors(
        self, transaction: Transaction, catalog_id: int, item_keys: Sequence[int]
    ) -> None:
        """Remove the vectors and the pending work of items from every generation."""
        connection = _get_connection(transaction)
        connection.flush()
        items = {
            "catalog_id": catalog_id,
            "item_keys": to_array(item_keys),
            **_read_times(transaction),
        }
        connection.connection.execute(REMOVE_VECTORS, items)


class BatchUserWriter:
    """Gathers the users of a transaction in its batch: see UserWriter."""

    def find(
        self, transaction: Transaction, generation: Generation, user_id: str
    ) -> StoredUser | None:
        """Return a user as the transaction leaves it so far; None if there is none."""
        connection = _get_connection(transaction)
        if isinstance(connection.deferred, WriteBatch):
            gathered = connection.deferred.users.find(generation.catalog_id, user_id)
            if gathered is not None:
                return gathered
        # No other user of the batch changes the row, so it does not have to be written before.
        return select_user(PostgresConnection(connection.connection), generation, user_id)

    def upsert(
        self,
        transaction: Transaction,
        generation: Generation,
        live_generations: Sequence[LiveGeneration],
        writes: Sequence[UserWrite],
    ) -> list[StoredUser]:
        """Store users in order in every generation of their catalog: see UserWriter."""
        batch = _open_batch(transaction, len(writes))
        stored_users = []
        for write in writes:
            sequence = transaction.next_sequence()
            parts = split_preferences(write, live_generations)
            stored = StoredUser(write.user, sequence, transaction.now_us)
            batch.users.add(generation.catalog_id, stored, parts)
            stored_users.append(stored)
        return stored_users


class WriteBatch:
    """Items and users that a transaction writes together: see DeferredWrites.

    They share no rows except vectors, and the counts of likes that new items start with.

    Args:
        times: the times of the transaction.
    """

    def __init__(self, times: Times) -> None:
        self.items = ItemBatch(times)
        self.users = UserBatch(times)

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Write the items and users.

        Raises:
            psycopg.Error: the transaction has failed.
        """
        with connection.pipeline():
            changes = self.users.write(connection)
            self.items.write(connection, changes)
            changes.note(PostgresConnection(connection))


def _get_connection(transaction: Transaction) -> PostgresConnection:
    connection = transaction.connection
    assert isinstance(connection, PostgresConnection)  # noqa: S101  (that of its database)
    return connection


def _open_batch(transaction: Transaction, rows: int) -> WriteBatch:
    """Return the batch of a transaction, which gets as many rows."""
    connection = _get_connection(transaction)
    batch = connection.deferred
    if not isinstance(batch, WriteBatch):
        batch = WriteBatch(_read_times(transaction))
        connection.defer(batch)
    connection.written_rows += rows
    return batch


def _read_times(transaction: Transaction) -> Times:
    return {"now_us": transaction.now_us, "shared_time_us": transaction.shared_time_us}
