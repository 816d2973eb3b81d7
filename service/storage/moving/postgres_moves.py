"""A PostgreSQL database as the source or the target of a move."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg

from service import errors
from service.storage.moving.moved_tables import MOVED_TABLES, MovedTable, TableRow
from service.storage.moving.moves import SourceMoment
from service.storage.moving.postgres_rows import (
    SEQUENCE_COUNTER,
    PostgresMoment,
    arrange_columns,
    connect_move,
    fetch_row,
    list_tables,
    name_application,
    name_database,
    read_types,
    refuse_servers,
    select_rows,
)
from service.storage.moving.target_state import (
    DANGLING_REFERENCES,
    check_schema,
    delete_rows,
    is_begun,
    mark_begun,
    mark_finished,
    quote,
    read_constraints,
)
from service.storage.postgres.commit_history import LOCK_WRITES
from service.storage.postgres.migrations import LOCK_CLASS, migrate_schema
from service.storage.postgres.postgres_connections import (
    SCHEMA,
    PostgresConnection,
)
from service.storage.postgres.postgres_errors import describe_error
from service.storage.unfinished_moves import STATE_TABLE, refuse_unfinished

# The number of the lock that a move to the database holds, in the class of Akin's locks.
MOVE_LOCK = 1_000


class PostgresMoveSource:
    """A database that is moved: see MoveSource."""

    def __init__(self, address: str) -> None:
        self._address = name_application(address)

    @contextmanager
    def open_moment(self) -> Iterator[PostgresMoment]:
        """Open the database as of this moment."""
        with closing(connect_move(self._address)) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            tables = list_tables(connection)
            if "identity" not in tables:
                raise errors.StoreUnavailable(f"{name_database(connection)} has no data of Akin")
            if STATE_TABLE in tables:
                refuse_unfinished()
            yield PostgresMoment(connection)

    @contextmanager
    def exclude_servers(self) -> Iterator[Callable[[], None]]:
        """Take the lock that each write takes first."""
        with closing(connect_move(self._address)) as connection:
            if "counters" not in list_tables(connection):
                raise errors.StoreUnavailable(f"{name_database(connection)} has no data of Akin")
            refuse_servers(connection)
            connection.execute("BEGIN")
            connection.execute(LOCK_WRITES)

            def confirm() -> None:
                connection.execute("SELECT 1")
                refuse_servers(connection)

            yield confirm


class PostgresMoveTarget:
    """A database that the data moves to: see MoveTarget. End it with `close`."""

    def __init__(self, address: str) -> None:
        self._address = name_application(address)
        self._connection = connect_move(self._address)
        self._types: Mapping[str, Mapping[str, str]] = {}
        self._is_begun = False

    def begin(self, moment: SourceMoment) -> None:
        """Create the schema, or go on with one."""
        if self._is_begun:
            return
        connection = self._connection
        name = name_database(connection)
        (is_locked,) = fetch_row(
            connection, f"SELECT pg_try_advisory_lock({LOCK_CLASS}, {MOVE_LOCK})"
        )
        if not is_locked:
            raise errors.StoreUnavailable(f"another migration to {name} runs")
        statements = PostgresConnection(connection)
        is_new = not is_begun(statements, list_tables(connection), moment.store_id, name)
        refuse_servers(connection)
        migrate_schema(connection)
        self._types = read_types(connection)
        check_schema(moment, arrange_columns(self._types), name)
        if is_new:
            with connection.transaction():
                # They are restored at the end, when all rows that they refer to exist.
                dropping, adding = _write_constraint_statements(connection)
                mark_begun(statements, moment.store_id, adding)
                for statement in dropping:
                    connection.execute(statement.encode())
        self._is_begun = True

    def read_rows(self, table: MovedTable) -> Iterator[TableRow]:
        """Yield the rows of a table as of this moment, in the order of their keys."""
        with closing(connect_move(self._address)) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield from select_rows(connection, table, self._types)

    def replace(self, table: MovedTable, keys: list[TableRow], rows: list[TableRow]) -> None:
        """Delete rows by their keys, and insert others, in one transaction."""
        with self._connection.transaction():
            columns = table.arrange(self._types[table.name])
            delete_rows(PostgresConnection(self._connection), table, columns, keys, rows)
            self._copy_rows(table, rows)

    def append(self, table: MovedTable, rows: list[TableRow]) -> None:
        """Insert rows in one transaction."""
        with self._connection.transaction():
            self._copy_rows(table, rows)

    def finish(self, moment: SourceMoment) -> None:
        """End the move."""
        connection = self._connection
        statements = PostgresConnection(connection)
        try:
            with connection.transaction():
                for statement in read_constraints(statements):
                    connection.execute(statement.encode())
                for name, number in moment.read_last_numbers().items():
                    _write_last_number(connection, name, number)
                connection.execute("DELETE FROM counters WHERE name = %s", (SEQUENCE_COUNTER,))
                # A reader that followed another database must not take this one for it.
                connection.execute("DELETE FROM commits")
                connection.execute(
                    "INSERT INTO commits (sequence, token) VALUES (%s, %s)",
                    (moment.sequence, secrets.randbits(63)),
                )
                mark_finished(statements, moment)
        except psycopg.errors.ForeignKeyViolation as exc:
            raise errors.StoreCorrupted(DANGLING_REFERENCES) from exc
        connection.execute("ANALYZE")

    def close(self) -> None:
        """Release the lock, and close the connection."""
        # PostgreSQL ends a session some time after its client, and another move may follow at once.
        with suppress(psycopg.Error):
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()

    def _copy_rows(self, table: MovedTable, rows: list[TableRow]) -> None:
        columns = quote(table.arrange(self._types[table.name]))
        statement = f"COPY {table.name} ({columns}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)


@contextmanager
def explain_errors() -> Iterator[None]:
    """Raise PostgreSQL's errors with their reasons.

    Raises:
        StoreUnavailable: a server cannot be used.
    """
    try:
        yield
    except psycopg.Error as exc:
        raise errors.StoreUnavailable(f"PostgreSQL: {describe_error(exc)}") from exc


def _write_constraint_statements(
    connection: psycopg.Connection[Any],
) -> tuple[list[str], list[str]]:
    """Return the statements that drop all foreign keys, and those that add them again."""
    rows = connection.execute(
        """SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
           FROM pg_constraint WHERE contype = 'f' AND connamespace = %s::regnamespace
           ORDER BY conrelid, conname""",
        (SCHEMA,),
    ).fetchall()
    return (
        [f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name, _ in rows],
        [f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}" for table, name, text in rows],
    )


def _write_last_number(connection: psycopg.Connection[Any], name: str, number: int) -> None:
    """Let a numbered table go on after a number."""
    if number:
        key = next(table.key[0] for table in MOVED_TABLES if table.name == name)
        connection.execute(
            "SELECT setval(pg_get_serial_sequence(%s, %s), %s)",
            (f"{SCHEMA}.{name}", key, number),
        )
