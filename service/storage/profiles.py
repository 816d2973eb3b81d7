"""What recommendations to a user begin with: the user, and what the user did."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import StoredUser
from service.storage.database import Database
from service.storage.sql import Connection
from service.storage.users import select_user

# Users that are read at once. Each takes up to 10 ms, in which other reads wait.
USERS_AT_ONCE = 10


class UserHistory(NamedTuple):
    """A user, None if it is not stored, and the latest interactions, oldest first."""

    stored: StoredUser | None
    interactions: Sequence[Interaction]


class ProfileStore:
    """Users with their interactions on disk.

    Every method can raise StoreUnavailable and StoreCorrupted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_many(
        self, generation: Generation, user_ids: Collection[str], limit: int
    ) -> Mapping[str, UserHistory]:
        """Return users with their interactions by id; without those that have neither.

        Of several interactions of one type with an item, only the latest is returned. The others do
        not change a profile, and active users have many of them.

        Args:
            generation: a generation of the catalog.
            user_ids: the ids of the users.
            limit: the number of interactions of each user that are considered.
        """
        ids = list(user_ids)
        users: dict[str, UserHistory] = {}
        for start in range(0, len(ids), USERS_AT_ONCE):
            users |= await self._database.read(
                partial(_select_many, generation, ids[start : start + USERS_AT_ONCE], limit)
            )
        return users


def _select_many(
    generation: Generation, user_ids: Sequence[str], limit: int, connection: Connection
) -> dict[str, UserHistory]:
    histories = ((user_id, _select(generation, user_id, limit, connection)) for user_id in user_ids)
    return {user_id: history for user_id, history in histories if any(history)}


def _select(
    generation: Generation, user_id: str, limit: int, connection: Connection
) -> UserHistory:
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
        Interaction(InteractionKey(user_id, *row[:4]), row[4]) for row in reversed(latest.values())
    ]
    return UserHistory(select_user(connection, generation, user_id), interactions)
