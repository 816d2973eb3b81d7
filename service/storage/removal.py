"""The removal of rows that nothing uses any more, a few at a time."""

from __future__ import annotations

from service.domain.generations import Generation
from service.storage.behavior_models import PIECE_KEY, PIECES_PER_REMOVAL
from service.storage.database import REMOVED_STATES, Database
from service.storage.row_deletion import CATALOG_KEYS, ROWS_PER_ROUND, delete_first_rows
from service.storage.sql import Connection
from service.storage.vectors import PENDING_KEYS, REFERENCE_KEYS, Pending, remove_references
from service.storage.writer import Transaction


class RemovalStore:
    """The rows of dropped generations and deleted catalogs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remove_rows(self) -> bool:
        """Remove a round of rows; return False if there are none.

        Raises:
            Overloaded, StoreFull, StoreUnavailable, StoreCorrupted: nothing was removed.
        """

        def operation(transaction: Transaction) -> bool:
            return _remove_from_generation(transaction) or _remove_from_catalog(
                transaction.connection
            )

        return await self._database.write(operation, ROWS_PER_ROUND)


def _remove_from_generation(transaction: Transaction) -> bool:
    """Remove rows of one generation that is being removed; return False if there is none.

    Its vectors stay until the purge, because they may have been paid for.
    """
    connection = transaction.connection
    row = connection.execute(
        f"""SELECT catalog_id, generation_id, space_id FROM generations
            WHERE state IN {REMOVED_STATES} LIMIT 1"""
    ).fetchone()
    if row is None:
        return False
    catalog_id, generation_id, space_id = row
    generation = Generation(catalog_id, "", generation_id, space_id)
    if not (
        _remove_references(transaction, generation)
        or any(_delete_pending(connection, table, generation_id) for table in PENDING_KEYS)
    ):
        # Its corpus statistics go with it. Its shared index stays until the collection is deleted.
        connection.execute("DELETE FROM generations WHERE generation_id = ?", (generation_id,))
    return True


def _remove_from_catalog(connection: Connection) -> bool:
    """Remove rows of one deleted catalog; return False if there is none."""
    row = connection.execute(
        "SELECT catalog_id FROM catalogs WHERE name IS NULL LIMIT 1"
    ).fetchone()
    if row is None:
        return False
    (catalog_id,) = row
    owner = {"catalog_id": catalog_id}
    connection.execute("DELETE FROM behavior_models WHERE catalog_id = ?", (catalog_id,))
    tables = [
        ("items", "item_key", ROWS_PER_ROUND),
        ("users", "user_key", ROWS_PER_ROUND),
        ("behavior_model_pieces", PIECE_KEY, PIECES_PER_REMOVAL),
    ]
    if not (
        any(_delete_of_catalog(connection, *table, catalog_id) for table in tables)
        or any(delete_first_rows(connection, table, owner) for table in CATALOG_KEYS)
    ):
        connection.execute("DELETE FROM catalogs WHERE catalog_id = ?", (catalog_id,))
    return True


def _remove_references(transaction: Transaction, generation: Generation) -> int:
    """Remove references of a generation to its vectors; return their number."""
    for table, key in REFERENCE_KEYS.items():
        (last_key,) = transaction.connection.execute(
            f"""SELECT max({key}) FROM (SELECT {key} FROM {table} WHERE generation_id = ?
                ORDER BY {key} LIMIT ?) AS first_keys""",
            (generation.generation_id, ROWS_PER_ROUND),
        ).fetchone()
        if last_key is not None:
            return remove_references(transaction, table, generation, 0, last_key)
    return 0


def _delete_pending(connection: Connection, table: Pending, generation_id: int) -> int:
    """Delete the pending items or users of a generation with the lowest keys.

    Returns:
        The number of deleted rows.
    """
    key = PENDING_KEYS[table]
    return connection.execute(
        f"""DELETE FROM {table} WHERE generation_id = :generation_id AND {key} IN
            (SELECT {key} FROM {table} WHERE generation_id = :generation_id
             ORDER BY {key} LIMIT :rows)""",
        {"generation_id": generation_id, "rows": ROWS_PER_ROUND},
    ).rowcount


def _delete_of_catalog(
    connection: Connection, table: str, key: str, limit: int, catalog_id: int
) -> int:
    """Delete at most `limit` rows of a catalog; return their number."""
    return connection.execute(
        f"""DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table}
            WHERE catalog_id = ? LIMIT ?)""",
        (catalog_id, limit),
    ).rowcount
