"""The schemas of the two databases say the same, and moves copy all of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from support.postgres import database_of

from service.storage.moving.moved_tables import MOVED_TABLES, MovedTable
from service.storage.postgres.migrations import migrate_schema
from service.storage.postgres.postgres_connections import complete_address, open_connection
from service.storage.sqlite.connections import connect
from service.storage.sqlite.sqlite_database import create_database

pytestmark = pytest.mark.sqlite

# The types of PostgreSQL that have the values of a type of SQLite.
TYPES = {
    "INTEGER": {"bigint", "boolean"},
    "TEXT": {"text"},
    "REAL": {"double precision"},
    "BLOB": {"bytea"},
}

# The columns of SQLite that hold 0 or 1.
BOOLEANS = {"deleted", "own_model", "is_sent", "low_priority", "is_overdue"}

# Tables that a move leaves out: they describe collections of a vector database, which the servers
# of the target build for themselves.
INDEX_TABLES = (
    MovedTable("shared_indexes", ("generation_id",)),
    MovedTable("corpus_statistics", ("generation_id",)),
)

ALL_TABLES = (*MOVED_TABLES, *INDEX_TABLES)

# Tables of what several machines need and one does not.
POSTGRES_TABLES = {
    "commits",
    "unnumbered_commits",
    "schema_version",
    "snapshots",
    "snapshot_pieces",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A new database file."""
    with closing(connect(create_database(tmp_path_factory.mktemp("file")))) as connection:
        yield connection


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection[Any]]:
    """A new database of a PostgreSQL server."""
    address = complete_address(database_of(tmp_path_factory.mktemp("server")))
    with closing(open_connection(address)) as connection:
        migrate_schema(connection)
        yield connection


def file_tables(file: sqlite3.Connection) -> set[str]:
    """The tables of SQLite."""
    rows = file.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    return {name for (name,) in rows}


def test_both_databases_have_the_same_tables(
    file: sqlite3.Connection, server: psycopg.Connection[Any]
) -> None:
    """PostgreSQL has the tables of SQLite, and those that only several machines need."""
    rows = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'akin'")
    assert file_tables(file) | POSTGRES_TABLES == {name for (name,) in rows}


def test_a_move_copies_every_table(file: sqlite3.Connection) -> None:
    """No table is left out, except for those that describe indexes outside of the database."""
    names = [table.name for table in ALL_TABLES]
    assert sorted(file_tables(file)) == sorted(names)


def test_both_databases_have_the_same_columns(
    file: sqlite3.Connection, server: psycopg.Connection[Any]
) -> None:
    """Each column has the same name, a type for the same values, and the same nulls."""
    for table in ALL_TABLES:
        columns = {
            # A key is never null: STRICT tables and integer keys do not allow it.
            name: (kind, bool(not_null or place))
            for _, name, kind, not_null, _, place in file.execute(
                f"PRAGMA table_info({table.name})"
            )
        }
        others = server.execute(
            """SELECT column_name, data_type, is_nullable = 'NO', collation_name
               FROM information_schema.columns
               WHERE table_schema = 'akin' AND table_name = %s""",
            (table.name,),
        ).fetchall()
        assert columns.keys() == {name for name, *_ in others}, table.name
        for name, kind, not_null, collation in others:
            file_kind, file_not_null = columns[name]
            assert kind in TYPES[file_kind], (table.name, name)
            assert (kind == "boolean") == (name in BOOLEANS), (table.name, name)
            assert not_null == file_not_null, (table.name, name)
            # Keys must have the order of SQLite, which is that of bytes.
            is_ordered = name in table.key and kind == "text" and table.name != "identity"
            assert not is_ordered or collation == "C", (table.name, name)


def test_both_databases_have_the_same_keys(
    file: sqlite3.Connection, server: psycopg.Connection[Any]
) -> None:
    """The keys and unique columns of both databases are those that a move compares rows by."""
    for table in ALL_TABLES:
        expected = {frozenset(columns) for columns in (table.key, *table.unique)}
        info = file.execute(f"PRAGMA table_info({table.name})").fetchall()
        key = frozenset(name for _, name, _, _, _, place in info if place)
        indexes = file.execute(f"PRAGMA index_list({table.name})").fetchall()
        file_keys = {key} - {frozenset()} | {
            frozenset(row[2] for row in file.execute(f"PRAGMA index_info({index[1]})"))
            for index in indexes
            if index[2]
        }
        rows = server.execute(
            """SELECT indkey::smallint[] FROM pg_index
               WHERE indrelid = %s::regclass AND indisunique""",
            (table.name,),
        ).fetchall()
        names = dict(
            server.execute(
                "SELECT attnum, attname FROM pg_attribute WHERE attrelid = %s::regclass",
                (table.name,),
            ).fetchall()
        )
        server_keys = {frozenset(names[number] for number in numbers) for (numbers,) in rows}
        if table.name != "identity":  # it has one row
            assert expected == file_keys == server_keys, table.name


def test_both_databases_number_the_same_tables(
    file: sqlite3.Connection, server: psycopg.Connection[Any]
) -> None:
    """The tables whose keys the databases give are those whose next numbers a move sets."""
    expected = {table.name for table in ALL_TABLES if table.is_numbered}
    rows = server.execute(
        """SELECT table_name FROM information_schema.columns
           WHERE table_schema = 'akin' AND is_identity = 'YES'"""
    )
    assert expected == {name for (name,) in rows}
    scripts = file.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
    assert expected >= {name for (name,) in scripts}
