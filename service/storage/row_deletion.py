"""The deletion of many rows of a catalog, a few at a time."""

from __future__ import annotations

import sqlite3

# Rows deleted in one transaction; they delay other writes by about 10 ms.
ROWS_PER_ROUND = 2_000

# The tables of catalogs that have no row ids, each with its primary key within a catalog.
CATALOG_KEYS = {
    "interactions": ("user_id", "time_us", "item_id", "type", "interaction_id"),
    "click_through": ("day", "source", "signals"),
    "clicked_responses": ("day", "number"),
}


def delete_first_rows(
    connection: sqlite3.Connection, table: str, catalog_id: int, end: int | None = None
) -> int:
    """Delete a round of rows of a catalog, those with the lowest keys.

    A range of keys is deleted, because with a list of keys SQLite can read all rows of a day.

    Args:
        connection: the connection of the writer.
        table: a table of `CATALOG_KEYS`.
        catalog_id: the catalog.
        end: delete only rows whose first column of the key is below it; None for all rows.

    Returns:
        The number of deleted rows.
    """
    columns = CATALOG_KEYS[table]
    key = ", ".join(columns)
    condition, parameters = "catalog_id = ?", [catalog_id]
    if end is not None:
        condition += f" AND {columns[0]} < ?"
        parameters.append(end)
    last_key = connection.execute(
        f"SELECT {key} FROM {table} WHERE {condition} ORDER BY {key} LIMIT 1 OFFSET ?",
        (*parameters, ROWS_PER_ROUND - 1),
    ).fetchone()
    if last_key is not None:
        condition = f"catalog_id = ? AND ({key}) <= ({', '.join('?' * len(columns))})"
        parameters = [catalog_id, *last_key]
    return connection.execute(f"DELETE FROM {table} WHERE {condition}", parameters).rowcount
