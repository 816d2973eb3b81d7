"""The deletion of many rows of a catalog, a few at a time."""

from __future__ import annotations

from collections.abc import Mapping

from service.storage.sql import Connection

# Rows deleted in one transaction; they delay other writes by about 10 ms.
ROWS_PER_ROUND = 2_000

# The tables of catalogs that have no row ids, each with its primary key.
CATALOG_KEYS = {
    "interactions": ("catalog_id", "user_id", "time_us", "item_id", "type", "interaction_id"),
    "click_through": ("catalog_id", "day", "source", "signals"),
    "clicked_responses": ("catalog_id", "day", "number"),
}


def delete_first_rows(
    connection: Connection,
    table: str,
    owner: Mapping[str, int | str],
    end: int | None = None,
) -> int:
    """Delete a round of rows of an owner, those with the lowest keys.

    A range of keys is deleted, because with a list of keys SQLite can read all rows of a day, or
    all that a user did at the same time.

    Args:
        connection: the connection of the writer.
        table: a table of `CATALOG_KEYS`.
        owner: the values of the first columns of the key, such as that of `catalog_id`.
        end: delete only rows whose next column of the key is below it; None for all rows.

    Returns:
        The number of deleted rows.
    """
    columns = CATALOG_KEYS[table][len(owner) :]
    key = ", ".join(columns)
    is_owned = " AND ".join(f"{column} = ?" for column in owner)
    condition, parameters = is_owned, [*owner.values()]
    if end is not None:
        condition += f" AND {columns[0]} < ?"
        parameters.append(end)
    last_key = connection.execute(
        f"SELECT {key} FROM {table} WHERE {condition} ORDER BY {key} LIMIT 1 OFFSET ?",
        (*parameters, ROWS_PER_ROUND - 1),
    ).fetchone()
    if last_key is not None:
        condition = f"{is_owned} AND ({key}) <= ({', '.join('?' * len(columns))})"
        parameters = [*owner.values(), *last_key]
    return connection.execute(f"DELETE FROM {table} WHERE {condition}", parameters).rowcount
