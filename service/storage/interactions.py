"""The interactions of catalogs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from service import errors
from service.domain.generations import Generation, LiveGeneration
from service.domain.interactions import Interaction, InteractionKey
from service.domain.recommendation_ids import RecommendationIds, ResponseKind
from service.storage.click_through import count_click
from service.storage.database import Database, ReadKind
from service.storage.like_changes import note_like_changes
from service.storage.records import Deletion
from service.storage.row_deletion import ROWS_PER_ROUND, delete_first_rows
from service.storage.sql import Connection
from service.storage.writer import Transaction

_COLUMNS = "user_id, time_us, item_id, type, interaction_id, value, recommendation_id"


class Recording(NamedTuple):
    """How many interactions were recorded, and the sequence number of the write or 0.

    `clicked` has the kinds of the responses that these are the first to name.
    """

    recorded_count: int
    sequence: int
    clicked: Sequence[ResponseKind] = ()


class InteractionPage(NamedTuple):
    """Interactions by ascending key, the number on all pages, and whether more follow."""

    interactions: Sequence[Interaction]
    total: int
    more: bool


class InteractionStore:
    """Interactions on disk.

    Every method can raise StoreUnavailable and StoreCorrupted, and those that write also Overloaded
    and StoreFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_many(
        self,
        generation: Generation,
        interactions: Sequence[Interaction],
        click_types: Collection[str] = (),
    ) -> Recording:
        """Store the interactions that are not stored yet, all or none.

        Args:
            generation: a generation of the catalog.
            interactions: the interactions.
            click_types: the types of those that count for the response that they name.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """
        ids = RecommendationIds(generation.catalog_id, self._database.store_id)

        def operation(transaction: Transaction, _: Sequence[LiveGeneration]) -> Recording:
            recorded_count = 0
            clicked: list[ResponseKind] = []
            # Interactions that name no response are inserted together, in less than half the time.
            for named_id, run in groupby(interactions, lambda entry: entry.recommendation_id):
                if not named_id:
                    recorded_count += _insert(transaction, generation, run)
                    continue
                recorded = [entry for entry in run if _insert(transaction, generation, (entry,))]
                recorded_count += len(recorded)
                response = ids.read(named_id)
                is_clicked = any(entry.key.type in click_types for entry in recorded)
                if response is not None and is_clicked and count_click(transaction, response):
                    clicked.append(response.kind)
            if not recorded_count:
                return Recording(0, 0)
            note_like_changes(
                transaction.connection,
                generation.catalog_id,
                recorded_count,
                0,
                added_interactions=recorded_count,
            )
            return Recording(recorded_count, transaction.next_sequence(), clicked)

        return await self._database.write_to_catalog(
            generation.catalog_id, operation, len(interactions)
        )

    async def list_page(
        self, generation: Generation, user_id: str, after: InteractionKey | None, limit: int
    ) -> InteractionPage:
        """Return at most `limit` interactions with keys after `after`, by ascending key.

        Args:
            generation: a generation of the catalog.
            user_id: whose interactions; empty for those of all users.
            after: the last key of the page before; None for the first page.
            limit: the size of the page.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """
        condition = "catalog_id = ?"
        parameters: list[int | str] = [generation.catalog_id]
        columns: Sequence[str] = InteractionKey._fields
        if user_id:
            # With the id of the user in the comparison, SQLite would read and sort the interactions
            # of all users after this one.
            condition += " AND user_id = ?"
            parameters.append(user_id)
            columns = columns[1:]
        order = ", ".join(columns)
        if after is not None:
            condition += f" AND ({order}) > ({', '.join('?' * len(columns))})"
            parameters += after[-len(columns) :]

        def query(connection: Connection) -> InteractionPage:
            rows = connection.execute(
                f"""SELECT {_COLUMNS} FROM interactions WHERE {condition}
                    ORDER BY {order} LIMIT ?""",
                (*parameters, limit + 1),
            ).fetchall()
            interactions = [Interaction(InteractionKey(*row[:5]), *row[5:]) for row in rows[:limit]]
            total = _count(connection, generation, user_id)
            return InteractionPage(interactions, total, len(rows) > limit)

        return await self._database.read(query, ReadKind.SCAN)

    async def count(self, generation: Generation) -> int:
        """Return the number of interactions of a catalog.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """
        return await self._database.read(lambda connection: _count(connection, generation, ""))

    async def delete_of_user(self, generation: Generation, user_id: str) -> Deletion:
        """Delete the interactions of a user, a few in each transaction."""
        owner: Mapping[str, int | str] = {
            "catalog_id": generation.catalog_id,
            "user_id": user_id,
        }

        def operation(transaction: Transaction) -> Deletion:
            connection = transaction.connection
            deleted_count = delete_first_rows(connection, "interactions", owner)
            if not deleted_count:
                return Deletion(0, 0)
            note_like_changes(
                connection, generation.catalog_id, 0, 1, added_interactions=-deleted_count
            )
            return Deletion(deleted_count, transaction.next_sequence())

        total = Deletion(0, 0)
        while True:
            deletion = await self._database.write(operation, ROWS_PER_ROUND)
            if not deletion.deleted_count:
                return total
            total = Deletion(total.deleted_count + deletion.deleted_count, deletion.sequence)
            if deletion.deleted_count < ROWS_PER_ROUND:
                return total


def _insert(
    transaction: Transaction, generation: Generation, interactions: Iterable[Interaction]
) -> int:
    """Insert the interactions that are not stored yet; return their number."""
    return transaction.connection.executemany(
        f"""INSERT INTO interactions (catalog_id, {_COLUMNS})
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING""",
        (
            (generation.catalog_id, *entry.key, entry.value, entry.recommendation_id)
            for entry in interactions
        ),
    ).rowcount


def _count(connection: Connection, generation: Generation, user_id: str) -> int:
    """Return the number of interactions of a user, or of all if `user_id` is empty.

    Raises:
        CatalogNotFound: the catalog was deleted.
    """
    row = connection.execute(
        "SELECT interaction_count FROM catalogs WHERE catalog_id = ? AND name IS NOT NULL",
        (generation.catalog_id,),
    ).fetchone()
    if row is None:
        raise errors.CatalogNotFound(f"catalog {generation.name!r} does not exist")
    if user_id:
        row = connection.execute(
            "SELECT count(*) FROM interactions WHERE catalog_id = ? AND user_id = ?",
            (generation.catalog_id, user_id),
        ).fetchone()
    return int(row[0])
