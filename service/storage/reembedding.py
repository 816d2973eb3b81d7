"""How the next generation of a catalog gets its vectors.

Items without vectors in the generation are still to be embedded; no other progress is stored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from service import errors
from service.domain.generations import Generation
from service.domain.usage import TokenUsage
from service.domain.vectors import Chunk
from service.storage.database import REMOVED_STATES, Database, ReadKind
from service.storage.pending import select_due_generations
from service.storage.records import NEVER_US, FillProgress, UnembeddedItem, UserPreferences
from service.storage.sql import Connection
from service.storage.vectors import set_item_vectors, set_user_vectors, store_unused_vectors
from service.storage.writer import Transaction


class ReembeddingStore:
    """The items that a next generation needs vectors for, and the preferences that any one needs.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_unfilled(
        self, generation: Generation, after: int, limit: int
    ) -> list[UnembeddedItem]:
        """Return items with keys after `after` that are not filled, by ascending key.

        Such an item has no vectors in the generation and is not pending there.
        """
        values = {
            "after": after,
            "catalog_id": generation.catalog_id,
            "generation_id": generation.generation_id,
            "limit": limit,
        }

        def query(connection: Connection) -> list[UnembeddedItem]:
            rows = connection.execute(
                """SELECT item_key, text FROM items
                   WHERE item_key > :after AND catalog_id = :catalog_id AND NOT deleted
                   AND NOT EXISTS (SELECT 1 FROM item_vectors
                       WHERE generation_id = :generation_id
                       AND item_vectors.item_key = items.item_key)
                   AND NOT EXISTS (SELECT 1 FROM pending WHERE generation_id = :generation_id
                       AND pending.item_key = items.item_key)
                   ORDER BY item_key LIMIT :limit""",
                values,
            )
            return [UnembeddedItem(*row) for row in rows]

        return await self._database.read(query, ReadKind.SCAN)

    async def fill(
        self,
        generation: Generation,
        items: Sequence[tuple[UnembeddedItem, Sequence[Chunk]]],
        usage: TokenUsage,
    ) -> None:
        """Give items whose text did not change their vectors, and add to the generation's usage.

        The change sequence of the items stays, since nothing follows this generation yet, and the
        followers of the serving one would read every item again.
        """

        def operation(transaction: Transaction) -> None:
            connection = transaction.connection
            for item, chunks in items:
                if _is_current(connection, generation, item):
                    set_item_vectors(transaction, generation, item.item_key, chunks)
                else:
                    store_unused_vectors(transaction, generation.space_id, chunks)
            _add_usage(connection, generation, usage)

        await self._database.write(operation, len(items))

    async def reject(
        self, generation: Generation, item: UnembeddedItem, reason: str, message: str
    ) -> None:
        """Mark an item as pending because its text cannot be embedded, unless the text changed.

        Args:
            generation: the generation.
            item: the item.
            reason: the reason code of the error.
            message: the explanation of the error.
        """

        def operation(transaction: Transaction) -> None:
            if _is_current(transaction.connection, generation, item):
                transaction.connection.execute(
                    """INSERT INTO pending
                           (generation_id, item_key, reason, message, attempts, next_attempt_us)
                       VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING""",
                    (
                        generation.generation_id,
                        item.item_key,
                        reason,
                        message,
                        transaction.now_us,
                    ),
                )

        await self._database.write(operation)

    async def list_preferences(
        self, generation: Generation, after: int, limit: int
    ) -> list[UserPreferences]:
        """Return the preferences of up to `limit` users with keys after `after`, ascending."""

        def query(connection: Connection) -> list[UserPreferences]:
            rows = connection.execute(
                """SELECT user_key, preferences FROM users
                   WHERE catalog_id = ? AND user_key > ? ORDER BY user_key LIMIT ?""",
                (generation.catalog_id, after, limit),
            )
            return [UserPreferences(user_key, _parse_texts(text)) for user_key, text in rows]

        return await self._database.read(query, ReadKind.SCAN)

    async def list_due_preferences(self) -> Sequence[int]:
        """Return the ids of the generations with a user whose preferences are pending and due."""
        now_us = self._database.now_us()
        return await self._database.read(
            lambda connection: select_due_generations(connection, "pending_users", now_us)
        )

    async def list_pending_preferences(
        self, generation: Generation, limit: int
    ) -> list[UserPreferences]:
        """Return up to `limit` users whose preferences are pending and due, longest due first.

        A generation that is being removed has none.
        """
        now_us = self._database.now_us()

        def query(connection: Connection) -> list[UserPreferences]:
            rows = connection.execute(
                f"""SELECT user_key, preferences FROM pending_users
                    JOIN users USING (user_key) JOIN generations USING (generation_id)
                    WHERE generation_id = ? AND state NOT IN {REMOVED_STATES}
                    AND next_attempt_us <= ? ORDER BY next_attempt_us LIMIT ?""",
                (generation.generation_id, now_us, limit),
            )
            return [UserPreferences(user_key, _parse_texts(text)) for user_key, text in rows]

        return await self._database.read(query)

    async def defer_preferences(
        self, generation: Generation, users: Sequence[UserPreferences], delay_seconds: float
    ) -> None:
        """Set the time until the next attempt at the pending preferences of users."""

        def operation(transaction: Transaction) -> None:
            next_attempt_us = transaction.now_us + int(delay_seconds * 1e6)
            transaction.connection.executemany(
                """UPDATE pending_users SET next_attempt_us = ?
                   WHERE generation_id = ? AND user_key = ?""",
                ((next_attempt_us, generation.generation_id, user.user_key) for user in users),
            )

        await self._database.write(operation, len(users))

    async def add_vectors(
        self, generation: Generation, chunks: Sequence[Chunk], usage: TokenUsage
    ) -> None:
        """Store vectors that nothing refers to yet, and add to the generation's usage."""

        def operation(transaction: Transaction) -> None:
            store_unused_vectors(transaction, generation.space_id, chunks)
            _add_usage(transaction.connection, generation, usage)

        await self._database.write(operation)

    async def fill_preferences(
        self,
        generation: Generation,
        users: Sequence[tuple[UserPreferences, Sequence[Chunk]]],
        usage: TokenUsage,
    ) -> None:
        """Store the vectors of preferences, and add to the generation's usage.

        A user whose preferences changed since then keeps the vectors of that write.
        """

        def operation(transaction: Transaction) -> None:
            connection = transaction.connection
            for user, chunks in users:
                if _is_unchanged(connection, generation, user):
                    set_user_vectors(transaction, generation, user.user_key, chunks)
                else:
                    store_unused_vectors(transaction, generation.space_id, chunks)
            _add_usage(connection, generation, usage)

        await self._database.write(operation)

    async def get_progress(self, generation: Generation) -> FillProgress:
        """Return how many items of the catalog have vectors in a generation, or are rejected.

        Items that expired a moment ago still count.
        """

        def query(connection: Connection) -> FillProgress:
            (item_count,) = connection.execute(
                "SELECT count(*) FROM items WHERE catalog_id = ? AND NOT deleted",
                (generation.catalog_id,),
            ).fetchone()
            (embedded,) = connection.execute(
                """SELECT count(*) FROM item_vectors
                   WHERE generation_id = :generation_id AND position = 0 AND item_key NOT IN
                       (SELECT item_key FROM pending WHERE generation_id = :generation_id)""",
                {"generation_id": generation.generation_id},
            ).fetchone()
            (rejected,) = connection.execute(
                """SELECT count(*) FROM pending WHERE generation_id = ?
                   AND (next_attempt_us >= ? OR reason = ?)""",
                (generation.generation_id, NEVER_US, errors.TextFailed.reason),
            ).fetchone()
            return FillProgress(item_count, embedded, rejected)

        return await self._database.read(query, ReadKind.SCAN)


def _is_current(connection: Connection, generation: Generation, item: UnembeddedItem) -> bool:
    """Return whether an item still has its text, and the generation is still being filled."""
    row = connection.execute(
        """SELECT 1 FROM items JOIN generations USING (catalog_id)
           WHERE item_key = ? AND text = ? AND generation_id = ? AND state = 'embedding'""",
        (item.item_key, item.text, generation.generation_id),
    ).fetchone()
    return row is not None


def _is_unchanged(connection: Connection, generation: Generation, user: UserPreferences) -> bool:
    """Return whether a user still has its preferences, and the generation was not removed."""
    row = connection.execute(
        f"""SELECT preferences FROM users JOIN generations USING (catalog_id)
            WHERE user_key = ? AND generation_id = ? AND state NOT IN {REMOVED_STATES}""",
        (user.user_key, generation.generation_id),
    ).fetchone()
    return row is not None and _parse_texts(row[0]) == user.texts


def _parse_texts(preferences: str) -> list[str]:
    """Return the texts of preferences as they are stored."""
    return [text for text, _ in json.loads(preferences)]


def _add_usage(connection: Connection, generation: Generation, usage: TokenUsage) -> None:
    connection.execute(
        """UPDATE generations SET prompt_tokens = prompt_tokens + ?, cost_usd = cost_usd + ?
           WHERE generation_id = ?""",
        (usage.prompt_tokens, usage.cost_usd, generation.generation_id),
    )
