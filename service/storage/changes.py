"""The feed of item changes, in the order of their sequence numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from service.domain.generations import Generation
from service.domain.items import Change
from service.storage.database import Database
from service.storage.vectors import read_changed_vectors
from service.storage.writer import read_last_sequence


class ItemChanges:
    """What a follower of items needs: their changes, and news of commits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last write that this process knows of."""
        return self._database.last_sequence

    async def refresh(self) -> int:
        """Look for commits of other processes, and return the last sequence number."""
        return await self._database.refresh()

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call `listener` in the event loop with the last sequence number after each commit."""
        self._database.listen(listener)

    def unlisten(self, listener: Callable[[int], None]) -> None:
        """Stop calling `listener`."""
        self._database.unlisten(listener)

    async def changes(
        self, generation: Generation, after: int, limit: int
    ) -> tuple[list[Change], int]:
        """Return up to `limit` changes after a sequence number, oldest first.

        Returns:
            The changes, and the sequence number that they lead up to.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """

        def query(connection: sqlite3.Connection) -> tuple[list[Change], int]:
            connection.execute("BEGIN")  # the counter and the rows must be of the same moment
            try:
                rows = connection.execute(
                    """SELECT item_key, item_id, iif(deleted, NULL, attributes), expire_time_us,
                           change_sequence FROM items
                       WHERE catalog_id = ? AND change_sequence > ?
                       ORDER BY change_sequence LIMIT ?""",
                    (generation.catalog_id, after, limit),
                ).fetchall()
                up_to = rows[-1][4] if len(rows) == limit else read_last_sequence(connection)
                vectors = read_changed_vectors(connection, generation, after, up_to)
            finally:
                connection.execute("COMMIT")
            return [
                Change(item_id, attributes, tuple(vectors.get(item_key, ())), expire_time_us)
                for item_key, item_id, attributes, expire_time_us, _ in rows
            ], up_to

        return await self._database.read(query)
