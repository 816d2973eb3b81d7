"""What recommendations to a user begin with: the user, and what the user did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import StoredUser
from service.storage.database import Database
from service.storage.sql import Connection
from service.storage.users import select_user


class ProfileStore:
    """Users with their interactions on disk.

    Every method can raise StoreUnavailable and StoreCorrupted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, generation: Generation, user_id: str, limit: int
    ) -> tuple[StoredUser | None, Sequence[Interaction]]:
        """Return a user, None if it is not stored, and the latest interactions, oldest first.

        Of several interactions of one type with an item, only the latest is returned. The others do
        not change a profile, and active users have many of them.

        Args:
            generation: a generation of the catalog.
            user_id: the id of the user.
            limit: the number of interactions that are considered.
        """

        def query(
            connection: Connection,
        ) -> tuple[StoredUser | None, Sequence[Interaction]]:
            rows = connection.execute(
                """SELECT time_us, item_id, type, interaction_id, value
                   FROM interactions WHERE catalog_id = ? AND user_id = ?
                   ORDER BY time_us DESC, item_id DESC, type DESC, interaction_id DESC LIMIT ?""",
                (generation.catalog_id, user_id, limit),
            ).fetchall()
            latest: dict[tuple[str, str], tuple[Any, ...]] = {}
            for row in rows:
                latest.setdefault(row[1:3], row)
            interactions = [
                Interaction(InteractionKey(user_id, *row[:4]), row[4])
                for row in reversed(latest.values())
            ]
            return select_user(connection, generation, user_id), interactions

        return await self._database.read(query)
