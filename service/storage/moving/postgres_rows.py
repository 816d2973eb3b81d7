"""The tables of a PostgreSQL database, as a move reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from service import errors
from service.storage.database import read_store_id
from service.storage.moving.moved_tables import MOVED_TABLES, MovedTable, TableRow
from service.storage.moving.target_state import quote
from service.storage.postgres.commit_history import read_last_anchor
from service.storage.postgres.migrations import LOCK_CLASS, VERSION_LOCK_CLASS
from service.storage.postgres.postgres_connections import (
    SCHEMA,
    PostgresConnection,
    complete_address,
    open_connection,
)

# Moves have another name than servers, which they look for.
APPLICATION = "akin-migrate"

# The counter of a file whose value a PostgreSQL database has in its last commit.
SEQUENCE_COUNTER = "sequence"

# Rows that are read at once. Pieces of models have 1 MiB.
ROWS_PER_READ = 2_000
PIECES_PER_READ = 10


class PostgresMoment:
    """A database as of one moment: see SourceMoment.

    Args:
        connection: is in a transaction.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._types = read_types(connection)
        self.columns = arrange_columns(self._types)
        statements = PostgresConnection(connection)
        self.store_id = read_store_id(statements)
        self.sequence = read_last_anchor(statements).sequence

    def read_rows(self, table: MovedTable) -> Iterator[TableRow]:
        """Yield the rows of a table in the order of their keys."""
        rows = select_rows(self._connection, table, self._types)
        if table.name == "counters":
            # A file counts the sequence numbers in a row, which this database has no need of.
            return iter(sorted([*rows, (SEQUENCE_COUNTER, self.sequence)]))
        return rows

    def read_last_numbers(self) -> Mapping[str, int]:
        """Return the highest number that each numbered table has ever given to a row."""
        numbers: dict[str, int] = {}
        for table in MOVED_TABLES:
            if table.is_numbered:
                (sequence,) = fetch_row(
                    self._connection,
                    "SELECT pg_get_serial_sequence(%s, %s)",
                    (f"{SCHEMA}.{table.name}", table.key[0]),
                )
                (numbers[table.name],) = fetch_row(
                    self._connection,
                    f"""SELECT greatest(
                            (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}),
                            (SELECT max({table.key[0]}) FROM {table.name}))""",
                )
        return numbers


def name_application(address: str) -> str:
    """Return a complete address, whose connections have the name of moves.

    Raises:
        StoreUnavailable: the address is not valid.
    """
    return make_conninfo(complete_address(address), application_name=APPLICATION)


def connect_move(address: str) -> psycopg.Connection[Any]:
    """Open a connection of a move, whose address is complete."""
    connection = open_connection(address)
    # A pass takes longer than the transactions of servers.
    connection.execute("SET idle_in_transaction_session_timeout = 0")
    return connection


def name_database(connection: psycopg.Connection[Any]) -> str:
    """Return what people call the database of a connection."""
    return f"the database {connection.info.dbname} on {connection.info.host}"


def fetch_row(
    connection: psycopg.Connection[Any], statement: str, parameters: tuple[Any, ...] = ()
) -> TableRow:
    """Return the first row of a query, which has one."""
    row = connection.execute(statement.encode(), parameters).fetchone()
    assert row is not None  # noqa: S101  (each of these queries has a row)
    return tuple(row)


def refuse_servers(connection: psycopg.Connection[Any]) -> None:
    """Check that no server uses the database.

    Raises:
        FolderInUse: one does.
    """
    (count,) = fetch_row(
        connection,
        f"""SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name <> '{APPLICATION}'
            AND (application_name = 'akin' OR pid IN (SELECT pid FROM pg_locks
                WHERE locktype = 'advisory'
                AND classid IN ({LOCK_CLASS}, {VERSION_LOCK_CLASS})))""",
    )
    if count:
        raise errors.FolderInUse(
            f"servers use {name_database(connection)}: it has {count} connections of theirs"
        )


def list_tables(connection: psycopg.Connection[Any]) -> Collection[str]:
    """Return the names of all tables of Akin."""
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,))
    return {name for (name,) in rows}


def read_types(connection: psycopg.Connection[Any]) -> Mapping[str, Mapping[str, str]]:
    """Return the types of all columns, by table and column."""
    rows = connection.execute(
        """SELECT table_name, column_name, data_type FROM information_schema.columns
           WHERE table_schema = %s""",
        (SCHEMA,),
    )
    types: dict[str, dict[str, str]] = {table.name: {} for table in MOVED_TABLES}
    for table, column, data_type in rows:
        types.setdefault(table, {})[column] = data_type
    return types


def arrange_columns(types: Mapping[str, Mapping[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """Return the columns of each table that is moved, in the order of a row's values."""
    return {table.name: table.arrange(types[table.name]) for table in MOVED_TABLES}


def select_rows(
    connection: psycopg.Connection[Any],
    table: MovedTable,
    types: Mapping[str, Mapping[str, str]],
) -> Iterator[TableRow]:
    """Yield the rows of a table in the order of their keys.

    Args:
        connection: is in a transaction.
        table: the table.
        types: of all columns, as `read_types` returns them.
    """
    columns = ", ".join(
        f'CAST("{column}" AS integer)' if types[table.name][column] == "boolean" else f'"{column}"'
        for column in table.arrange(types[table.name])
    )
    with connection.cursor(f"akin_{table.name}", binary=True) as cursor:
        is_large = table.name == "behavior_model_pieces"
        cursor.itersize = PIECES_PER_READ if is_large else ROWS_PER_READ
        statement = f"SELECT {columns} FROM {table.name} ORDER BY {quote(table.key)}"
        cursor.execute(statement.encode())
        yield from cursor
