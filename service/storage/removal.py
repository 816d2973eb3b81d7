"""The SQL that removes what was dropped, a little at a time. Runs inside a connection's thread."""

from __future__ import annotations

import sqlite3

from service.storage.writer import Transaction

ROWS_PER_ROUND = 2_000
"""So many rows hold up other writes for some 10 ms."""


def remove_some(transaction: Transaction) -> bool:
    """Removes some rows of dropped generations and deleted catalogs; False if there are none."""
    connection = transaction.connection
    generation = connection.execute(
        """SELECT layer_id, space_id, state = 'dropped' FROM layers
           WHERE state IN ('cancelled', 'dropped') LIMIT 1"""
    ).fetchone()
    if generation is not None:
        generation_id, space_id, with_vectors = generation
        if not (
            _removed_from(connection, "item_vectors", generation_id)
            or _removed_from(connection, "pending", generation_id)
            or (with_vectors and _removed_vectors(connection, generation_id, space_id))
        ):
            connection.execute("DELETE FROM layers WHERE layer_id = ?", (generation_id,))
        return True
    catalog = connection.execute(
        "SELECT catalog_id FROM catalogs WHERE name IS NULL LIMIT 1"
    ).fetchone()
    if catalog is None:
        return False
    if not any(_removed_of(connection, table, *catalog) for table in ("items", "users")):
        connection.execute("DELETE FROM catalogs WHERE catalog_id = ?", catalog)
    return True


def _removed_from(connection: sqlite3.Connection, table: str, generation_id: int) -> int:
    """How many rows of a generation were removed, the items with the lowest keys first."""
    row = connection.execute(
        f"""SELECT max(item_key) FROM (SELECT item_key FROM {table} WHERE layer_id = ?
            ORDER BY item_key LIMIT ?)""",
        (generation_id, ROWS_PER_ROUND),
    ).fetchone()
    return connection.execute(
        f"DELETE FROM {table} WHERE layer_id = ? AND item_key <= ?", (generation_id, row[0] or 0)
    ).rowcount


def _removed_vectors(connection: sqlite3.Connection, generation_id: int, space_id: int) -> int:
    """How many vectors were removed of a space that only this generation has."""
    return connection.execute(
        """DELETE FROM vectors WHERE vector_id IN (SELECT vector_id FROM vectors
           WHERE space_id = :space_id AND NOT EXISTS (SELECT 1 FROM layers
           WHERE space_id = :space_id AND layer_id != :layer_id) LIMIT :rows)""",
        {"space_id": space_id, "layer_id": generation_id, "rows": ROWS_PER_ROUND},
    ).rowcount


def _removed_of(connection: sqlite3.Connection, table: str, catalog_id: int) -> int:
    """How many rows of a catalog were removed."""
    return connection.execute(
        f"""DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}
            WHERE catalog_id = ? LIMIT ?)""",
        (catalog_id, ROWS_PER_ROUND),
    ).rowcount
