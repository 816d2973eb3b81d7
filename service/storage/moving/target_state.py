"""What the target of a move has before and during the move, in either database."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from typing import NoReturn

from service import errors
from service.storage.database import read_store_id
from service.storage.embedding_request_rows import write_off_all
from service.storage.moving.moved_tables import INITIAL_TABLES, MOVED_TABLES, MovedTable, TableRow
from service.storage.moving.moves import SourceMoment
from service.storage.sql import Connection
from service.storage.unfinished_moves import STATE_TABLE
from service.storage.writer import Transaction

# The problem of a source with rows that refer to missing ones.
DANGLING_REFERENCES = "the source has references to rows that do not exist"


def is_begun(connection: Connection, tables: Collection[str], store_id: str, name: str) -> bool:
    """Return whether a store is the target of an unfinished move; otherwise it is empty.

    Args:
        connection: reads the store.
        tables: the names of its tables.
        store_id: identifies the source.
        name: of the store, for people.

    Raises:
        StoreUnavailable: it is not Akin's, has data, or is the target of another move.
    """
    if STATE_TABLE in tables:
        (source_id,) = connection.execute(f"SELECT store_id FROM {STATE_TABLE}").fetchone()
        if source_id != store_id:
            _refuse(name, "is the target of an unfinished migration of another store")
        return True
    if tables and not {"counters", "schema_version"} & {*tables}:
        _refuse(name, "has tables of another program")
    for table in MOVED_TABLES:
        if table.name in tables and table.name not in INITIAL_TABLES:
            row = connection.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone()
            if row is not None:
                if "identity" in tables and read_store_id(connection) == store_id:
                    _refuse(name, "has the data of the source already: the migration is finished")
                _refuse(name, "is not empty")
    return False


def mark_begun(connection: Connection, store_id: str, constraints: Sequence[str] = ()) -> None:
    """Mark an empty store as the target of a move.

    Args:
        connection: is in a transaction.
        store_id: identifies the source.
        constraints: statements that restore the constraints of tables at the end.
    """
    connection.execute(
        f"CREATE TABLE {STATE_TABLE} (store_id TEXT NOT NULL, constraints TEXT NOT NULL)"
    )
    connection.execute(
        f"INSERT INTO {STATE_TABLE} (store_id, constraints) VALUES (?, ?)",
        (store_id, json.dumps(constraints)),
    )


def read_constraints(connection: Connection) -> Sequence[str]:
    """Return the statements that restore the constraints of tables."""
    (constraints,) = connection.execute(f"SELECT constraints FROM {STATE_TABLE}").fetchone()
    return [str(statement) for statement in json.loads(constraints)]


def check_schema(moment: SourceMoment, columns: object, name: str) -> None:
    """Check that the target has the columns of the source.

    Raises:
        StoreUnavailable: the schema of the source is older or newer.
    """
    if moment.columns != columns:
        raise errors.StoreUnavailable(
            f"the source has another schema than {name}: start a server of this version of Akin "
            "over the source first, which updates its schema"
        )


def mark_finished(connection: Connection, moment: SourceMoment) -> None:
    """Remove the mark of the move, and count the source's requests to providers as spent.

    Args:
        connection: is in a transaction.
        moment: the source.
    """
    now_us = time.time_ns() // 1_000
    write_off_all(Transaction(connection, moment.sequence, now_us, now_us))
    connection.execute(f"DROP TABLE {STATE_TABLE}")


def delete_rows(
    connection: Connection,
    table: MovedTable,
    columns: Sequence[str],
    keys: Iterable[TableRow],
    rows: Sequence[TableRow],
) -> None:
    """Delete the rows of keys, and those that have a unique value of other rows.

    Args:
        connection: is in a transaction.
        table: the table.
        columns: those of the rows, in order.
        keys: of the rows to delete.
        rows: the rows that are to be inserted.
    """
    _delete(connection, table, table.key, keys)
    for unique in table.unique:
        places = [columns.index(column) for column in unique]
        values = (tuple(row[place] for place in places) for row in rows)
        _delete(connection, table, unique, (row for row in values if not {None, ""} & {*row}))


def quote(columns: Iterable[str]) -> str:
    """Return names of columns as a list in SQL."""
    return ", ".join(f'"{column}"' for column in columns)


def _delete(
    connection: Connection, table: MovedTable, columns: Iterable[str], values: Iterable[TableRow]
) -> None:
    condition = " AND ".join(f'"{column}" = ?' for column in columns)
    parameters = list(values)
    if parameters:
        connection.executemany(f"DELETE FROM {table.name} WHERE {condition}", parameters)


def _refuse(name: str, problem: str) -> NoReturn:
    raise errors.StoreUnavailable(f"the target cannot be used: {name} {problem}")
