"""Pending items: those whose present text is not embedded yet, in each generation."""

from __future__ import annotations

from collections.abc import Sequence

from service import errors
from service.domain.generations import Generation
from service.domain.stats import PendingGroup
from service.domain.vectors import Chunk
from service.storage.database import REMOVED_STATES, Database, ReadKind
from service.storage.records import NEVER_US, UnembeddedItem
from service.storage.sql import Connection
from service.storage.vectors import set_item_vectors, store_unused_vectors
from service.storage.writer import Transaction

# Items of which the time of the last write is read for statistics. A row of an item is as long as
# its text, and an outage of the provider can leave a whole catalog pending.
DATED_ITEMS = 10_000


class PendingStore:
    """The pending items of each generation, with their reasons and next attempts.

    A change of an item other than of its text does not affect its embedding, so that outdated items
    are recognized by their text. Every method can raise StoreUnavailable and StoreCorrupted, and
    those that write also Overloaded and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_due_generations(self) -> Sequence[int]:
        """Return the ids of the generations with an item whose next attempt is due."""
        now_us = self._database.now_us()
        return await self._database.read(
            lambda connection: select_due_generations(connection, "pending", now_us)
        )

    async def list_due(
        self, generation: Generation, limit: int, *, failed: bool = False
    ) -> list[UnembeddedItem]:
        """Return up to `limit` items whose next attempt is due, longest due first.

        A generation that is being removed has none.

        Args:
            generation: the generation that the items are pending in.
            limit: the maximum number of items.
            failed: return the items whose text the provider failed on, instead of the others.
        """
        now_us = self._database.now_us()

        def query(connection: Connection) -> list[UnembeddedItem]:
            rows = connection.execute(
                f"""SELECT item_key, text, attempts, reason
                   FROM pending JOIN items USING (item_key) JOIN generations USING (generation_id)
                   WHERE generation_id = ? AND state NOT IN {REMOVED_STATES}
                   AND next_attempt_us <= ? AND (reason = ?) = ?
                   ORDER BY next_attempt_us LIMIT ?""",
                (generation.generation_id, now_us, errors.TextFailed.reason, failed, limit),
            )
            return [UnembeddedItem(*row) for row in rows]

        return await self._database.read(query, ReadKind.SCAN)

    async def settle(
        self, generation: Generation, item: UnembeddedItem, chunks: Sequence[Chunk]
    ) -> int:
        """Give a pending item its vectors, unless its text changed or it got vectors.

        Returns:
            The sequence number of the change; 0 if the item has another text now or is no longer
            pending, or if the generation is being removed or is gone, as after the end of a
            re-embedding.
        """

        def operation(transaction: Transaction) -> int:
            connection, sequence = transaction.connection, transaction.next_sequence()
            changed = connection.execute(
                f"""UPDATE items SET change_sequence = ? WHERE item_key = ? AND text = ?
                    AND EXISTS (SELECT 1 FROM pending JOIN generations USING (generation_id)
                        WHERE generation_id = ? AND pending.item_key = items.item_key
                        AND state NOT IN {REMOVED_STATES})""",
                (sequence, item.item_key, item.text, generation.generation_id),
            ).rowcount
            if not changed:
                # The vectors are paid for, so they are stored all the same.
                store_unused_vectors(transaction, generation.space_id, chunks)
                return 0
            set_item_vectors(transaction, generation, item.item_key, chunks)
            return sequence

        return await self._database.write(operation)

    async def postpone(
        self,
        generation: Generation,
        item: UnembeddedItem,
        reason: str,
        message: str,
        delay_seconds: float | None,
    ) -> None:
        """Note a failed attempt at a pending item, unless its text changed.

        Args:
            generation: the generation that the item is pending in.
            item: the item.
            reason: the reason code of the error.
            message: the explanation of the error.
            delay_seconds: the time until the next attempt; None for no further attempt.
        """

        def operation(transaction: Transaction) -> None:
            next_attempt_us = NEVER_US
            if delay_seconds is not None:
                next_attempt_us = transaction.now_us + int(delay_seconds * 1e6)
            transaction.connection.execute(
                """UPDATE pending SET
                       attempts = CASE reason WHEN :reason THEN attempts + 1 ELSE 1 END,
                       reason = :reason, message = :message, next_attempt_us = :next_attempt_us
                   WHERE generation_id = :generation_id AND item_key =
                       (SELECT item_key FROM items WHERE item_key = :item_key AND text = :text)""",
                {
                    "reason": reason,
                    "message": message,
                    "next_attempt_us": next_attempt_us,
                    "generation_id": generation.generation_id,
                    "item_key": item.item_key,
                    "text": item.text,
                },
            )

        await self._database.write(operation)

    async def defer(
        self, generation: Generation, item: UnembeddedItem, delay_seconds: float
    ) -> None:
        """Set the time until the next attempt at a pending item, unless its text changed."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                """UPDATE pending SET next_attempt_us = ?
                   WHERE generation_id = ? AND item_key =
                       (SELECT item_key FROM items WHERE item_key = ? AND text = ?)""",
                (
                    transaction.now_us + int(delay_seconds * 1e6),
                    generation.generation_id,
                    item.item_key,
                    item.text,
                ),
            )

        await self._database.write(operation)

    async def retry_all(self) -> None:
        """Make every pending item and preference due, as if no attempt had failed."""

        def operation(transaction: Transaction) -> None:
            transaction.connection.execute(
                "UPDATE pending SET attempts = 0, next_attempt_us = ?", (transaction.now_us,)
            )
            transaction.connection.execute(
                "UPDATE pending_users SET next_attempt_us = ?", (transaction.now_us,)
            )

        await self._database.write(operation)

    async def list_groups(self, generation: Generation) -> list[PendingGroup]:
        """Return the pending items by reason and message, largest group first.

        Each group has the time of the earliest write, among the DATED_ITEMS created first.
        """

        def query(connection: Connection) -> list[PendingGroup]:
            # In one statement, SQLite would look for each pending item among the dated ones.
            dated = connection.execute(
                """SELECT reason, message, min(update_time_us) FROM (
                       SELECT reason, message, update_time_us
                       FROM pending JOIN items USING (item_key)
                       WHERE generation_id = ? ORDER BY item_key LIMIT ?) AS dated
                   GROUP BY reason, message""",
                (generation.generation_id, DATED_ITEMS),
            )
            times_us = {(reason, message): time_us for reason, message, time_us in dated}
            rows = connection.execute(
                """SELECT reason, message, count(*) FROM pending WHERE generation_id = ?
                   GROUP BY reason, message ORDER BY count(*) DESC, reason, message""",
                (generation.generation_id,),
            )
            return [
                PendingGroup(reason, message, count, times_us.get((reason, message)))
                for reason, message, count in rows
            ]

        return await self._database.read(query, ReadKind.SCAN)


def select_due_generations(connection: Connection, table: str, now_us: int) -> Sequence[int]:
    """Return the ids of the generations with a row in `table` whose next attempt is due.

    It looks at the first row of each generation that has any, in the index by generation and time.
    """
    rows = connection.execute(
        f"""WITH RECURSIVE found (generation_id) AS (
                SELECT min(generation_id) FROM {table}
                UNION ALL
                SELECT (SELECT min(generation_id) FROM {table} AS next
                        WHERE next.generation_id > found.generation_id)
                FROM found WHERE found.generation_id IS NOT NULL)
            SELECT generation_id FROM found WHERE EXISTS (
                SELECT 1 FROM {table} AS due WHERE due.generation_id = found.generation_id
                AND due.next_attempt_us <= ?)""",
        (now_us,),
    )
    return [generation_id for (generation_id,) in rows]
