"""The users of catalogs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service import errors
from service.domain.generations import Generation, LiveGeneration
from service.domain.users import LikedItem, Preference, StoredUser, User
from service.domain.vectors import Chunk
from service.storage.database import Database, ReadKind
from service.storage.like_changes import NO_LIKED_ITEMS, note_changed_list
from service.storage.records import UserPage, UserWrite, require_sequence
from service.storage.sql import Connection
from service.storage.vectors import remove_user_vectors
from service.storage.writer import Transaction

_COLUMNS = "user_id, preferences, liked_items, sequence, update_time_us"


class UserStore:
    """Users on disk.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upsert_many(
        self,
        generation: Generation,
        writes: Sequence[UserWrite],
        expected_sequence: int | None = None,
    ) -> list[StoredUser]:
        """Store users with the vectors of their preferences in order, all or none.

        Args:
            generation: a generation of the catalog.
            writes: the users; of two with the same id the later one remains.
            expected_sequence: the sequence number that each user must have before its write, 0 for
                no user; None for any.

        Raises:
            SequenceMismatch: a user has another sequence number.
            CatalogNotFound: the catalog was deleted.
        """

        def operation(
            transaction: Transaction, live_generations: Sequence[LiveGeneration]
        ) -> list[StoredUser]:
            writer = self._database.user_writer
            if expected_sequence is None:
                return writer.upsert(transaction, generation, live_generations, writes)
            stored_users = []
            for write in writes:
                stored = writer.find(transaction, generation, write.user.user_id)
                require_sequence("user", write.user.user_id, stored, expected_sequence)
                stored_users += writer.upsert(transaction, generation, live_generations, [write])
            return stored_users

        rows = sum(1 + len(write.user.preferences) for write in writes)
        return await self._database.write_to_catalog(generation.catalog_id, operation, rows)

    async def update(
        self,
        generation: Generation,
        user_id: str,
        change: Callable[[User], User],
        chunks: Mapping[int, Sequence[Chunk]] | None,
        expected_sequence: int | None = None,
    ) -> StoredUser:
        """Change a stored user; no other write comes between its read and its write.

        Args:
            generation: a generation of the catalog.
            user_id: the id of the user.
            change: returns the changed user for the stored one. It runs in the writer's thread, and
                what it raises is raised here.
            chunks: the chunks of changed preferences, by generation id; those of a missing
                generation are pending. None if the preferences stay, and with them their vectors.
            expected_sequence: the sequence number that the user must have; None for any.

        Raises:
            UserNotFound: the user does not exist.
            SequenceMismatch: the user has another sequence number.
            CatalogNotFound: the catalog was deleted.
        """

        def operation(
            transaction: Transaction, live_generations: Sequence[LiveGeneration]
        ) -> StoredUser:
            writer = self._database.user_writer
            stored = writer.find(transaction, generation, user_id)
            if stored is None:
                raise errors.UserNotFound(f"user {user_id!r} does not exist")
            require_sequence("user", user_id, stored, expected_sequence)
            write = UserWrite(change(stored.user), chunks)
            (stored,) = writer.upsert(transaction, generation, live_generations, [write])
            return stored

        return await self._database.write_to_catalog(generation.catalog_id, operation)

    async def delete(self, generation: Generation, user_id: str) -> int:
        """Delete a user; return the sequence number of the deletion, 0 if the user is missing."""

        def operation(transaction: Transaction) -> int:
            row = transaction.connection.execute(
                """DELETE FROM users WHERE catalog_id = ? AND user_id = ?
                   RETURNING user_key, liked_items""",
                (generation.catalog_id, user_id),
            ).fetchone()
            if row is None:
                return 0
            user_key, liked_items = row
            note_changed_list(
                transaction.connection, generation.catalog_id, liked_items, NO_LIKED_ITEMS, ()
            )
            remove_user_vectors(transaction, generation.catalog_id, user_key)
            return transaction.next_sequence()

        return await self._database.write(operation)

    async def get(self, generation: Generation, user_id: str) -> StoredUser | None:
        """Return a user; None if it does not exist."""
        return await self._database.read(
            lambda connection: select_user(connection, generation, user_id)
        )

    async def list_page(
        self, generation: Generation, after: str, limit: int, max_bytes: int
    ) -> UserPage:
        """Return users with ids after `after`, by ascending id in byte order.

        The page ends at `limit` users, or with the user whose preferences and liked items make it
        exceed `max_bytes`.
        """

        def query(connection: Connection) -> UserPage:
            rows = connection.execute(
                f"""SELECT {_COLUMNS} FROM users WHERE catalog_id = ? AND user_id > ?
                    ORDER BY user_id LIMIT ?""",
                (generation.catalog_id, after, limit + 1),
            )
            users: list[StoredUser] = []
            size_bytes, more = 0, False
            for row in rows:
                if len(users) == limit or size_bytes > max_bytes:
                    more = True
                    break
                users.append(_stored_user(row))
                size_bytes += len(row[1].encode()) + len(row[2].encode())
            return UserPage(users, _count(connection, generation), more)

        return await self._database.read(query, ReadKind.SCAN)

    async def count(self, generation: Generation) -> int:
        """Return the number of users in the catalog."""
        return await self._database.read(
            lambda connection: _count(connection, generation), ReadKind.SCAN
        )


def select_user(connection: Connection, generation: Generation, user_id: str) -> StoredUser | None:
    """Return a user, or None if it is not stored."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM users WHERE catalog_id = ? AND user_id = ?",
        (generation.catalog_id, user_id),
    ).fetchone()
    return None if row is None else _stored_user(row)


def _stored_user(row: tuple[Any, ...]) -> StoredUser:
    user_id, preferences, liked_items, sequence, update_time_us = row
    user = User(
        user_id,
        tuple(Preference(text, weight) for text, weight in json.loads(preferences)),
        tuple(LikedItem(item_id, weight) for item_id, weight in json.loads(liked_items)),
    )
    return StoredUser(user, sequence, update_time_us)


def _count(connection: Connection, generation: Generation) -> int:
    (number,) = connection.execute(
        "SELECT count(*) FROM users WHERE catalog_id = ?", (generation.catalog_id,)
    ).fetchone()
    return int(number)
