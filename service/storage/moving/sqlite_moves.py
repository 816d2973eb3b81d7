"""The database file of a data folder as the source or the target of a move."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from service import errors
from service.storage.data_folder import (
    DATABASE,
    list_snapshot_folders,
    lock_folder,
    remove_snapshot,
    secure_folder,
)
from service.storage.database import read_store_id
from service.storage.moving.moved_tables import MOVED_TABLES, MovedTable, TableRow
from service.storage.moving.moves import SourceMoment
from service.storage.moving.target_state import (
    DANGLING_REFERENCES,
    check_schema,
    delete_rows,
    is_begun,
    mark_begun,
    mark_finished,
    quote,
)
from service.storage.sqlite.connections import connect
from service.storage.sqlite.sqlite_database import create_database, read_last_sequence
from service.storage.unfinished_moves import STATE_TABLE, refuse_unfinished


class SqliteMoment:
    """A database file as of one moment: see SourceMoment.

    Args:
        connection: is in a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.columns = _read_columns(connection)
        self.store_id = read_store_id(connection)
        self.sequence = read_last_sequence(connection)

    def read_rows(self, table: MovedTable) -> Iterator[TableRow]:
        """Yield the rows of a table in the order of their keys."""
        return _select_rows(self._connection, table, self.columns[table.name])

    def read_last_numbers(self) -> Mapping[str, int]:
        """Return the highest number that each numbered table has ever given to a row."""
        numbers: dict[str, int] = dict(
            self._connection.execute("SELECT name, seq FROM sqlite_sequence")
        )
        for table in MOVED_TABLES:
            if table.is_numbered:
                (highest,) = self._connection.execute(
                    f"SELECT coalesce(max({table.key[0]}), 0) FROM {table.name}"
                ).fetchone()
                numbers[table.name] = max(highest, numbers.get(table.name, 0))
        return {table.name: numbers[table.name] for table in MOVED_TABLES if table.is_numbered}


class SqliteMoveSource:
    """A data folder whose database is moved: see MoveSource."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open_moment(self) -> Iterator[SqliteMoment]:
        """Open the database as of this moment."""
        database = self._folder / DATABASE
        if not database.is_file():
            raise errors.StoreUnavailable(f"there is no database {database}")
        with closing(connect(database, read_only=True)) as connection:
            connection.execute("BEGIN")
            tables = _list_tables(connection)
            if "identity" not in tables:
                raise errors.StoreUnavailable(f"{database} is not a database of Akin")
            if STATE_TABLE in tables:
                refuse_unfinished()
            yield SqliteMoment(connection)

    @contextmanager
    def exclude_servers(self) -> Iterator[Callable[[], None]]:
        """Lock the data folder, which a server would lock."""
        if not self._folder.is_dir():
            raise errors.StoreUnavailable(f"there is no folder {self._folder}")
        with lock_folder(self._folder):
            yield lambda: None


class SqliteMoveTarget:
    """A data folder that the data moves to: see MoveTarget. End it with `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / DATABASE
        self._stack = ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._columns: Mapping[str, tuple[str, ...]] = {}

    def begin(self, moment: SourceMoment) -> None:
        """Create the database, or go on with one."""
        if self._connection is not None:
            return
        self._is_begun(moment.store_id)  # first, because the lock is a file in the folder
        self._stack.enter_context(lock_folder(self._folder))
        is_new = not self._is_begun(moment.store_id)
        secure_folder(self._folder)
        create_database(self._folder)
        connection = self._stack.enter_context(closing(connect(self._path)))
        self._columns = _read_columns(connection)
        check_schema(moment, self._columns, str(self._path))
        connection.execute("PRAGMA foreign_keys = OFF")
        if is_new:
            # Those of another store can have the same numbers.
            for snapshots in list_snapshot_folders(self._folder):
                remove_snapshot(snapshots)
            with _transaction(connection):
                mark_begun(connection, moment.store_id)
        self._connection = connection

    def read_rows(self, table: MovedTable) -> Iterator[TableRow]:
        """Yield the rows of a table as of this moment, in the order of their keys."""
        # A connection of its own sees only what was there when the reading began.
        with closing(connect(self._path, read_only=True)) as connection:
            connection.execute("BEGIN")
            yield from _select_rows(connection, table, self._columns[table.name])

    def replace(self, table: MovedTable, keys: list[TableRow], rows: list[TableRow]) -> None:
        """Delete rows by their keys, and insert others, in one transaction."""
        connection = self._begun
        columns = self._columns[table.name]
        with _transaction(connection):
            delete_rows(connection, table, columns, keys, rows)
            _insert_rows(connection, table, columns, rows)

    def append(self, table: MovedTable, rows: list[TableRow]) -> None:
        """Insert rows in one transaction."""
        connection = self._begun
        with _transaction(connection):
            _insert_rows(connection, table, self._columns[table.name], rows)

    def finish(self, moment: SourceMoment) -> None:
        """End the move."""
        connection = self._begun
        if connection.execute("PRAGMA foreign_key_check").fetchone():
            raise errors.StoreCorrupted(DANGLING_REFERENCES)
        with _transaction(connection):
            _write_last_numbers(connection, moment.read_last_numbers())
            mark_finished(connection, moment)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Close the database, and release the lock of the folder."""
        self._stack.close()

    @property
    def _begun(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101  (`begin` was called)
        return self._connection

    def _is_begun(self, store_id: str) -> bool:
        """Return whether a move to the folder has begun, without writing to the file."""
        if not self._path.exists():
            return False
        with closing(sqlite3.connect(self._path)) as connection:
            return is_begun(connection, _list_tables(connection), store_id, str(self._path))


def _list_tables(connection: sqlite3.Connection) -> Collection[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def _read_columns(connection: sqlite3.Connection) -> Mapping[str, tuple[str, ...]]:
    return {
        table.name: table.arrange(
            [row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")]
        )
        for table in MOVED_TABLES
    }


def _select_rows(
    connection: sqlite3.Connection, table: MovedTable, columns: tuple[str, ...]
) -> Iterator[TableRow]:
    return connection.execute(
        f"SELECT {quote(columns)} FROM {table.name} ORDER BY {quote(table.key)}"
    )


def _insert_rows(
    connection: sqlite3.Connection,
    table: MovedTable,
    columns: tuple[str, ...],
    rows: list[TableRow],
) -> None:
    places = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table.name} ({quote(columns)}) VALUES ({places})", rows)


def _write_last_numbers(connection: sqlite3.Connection, numbers: Mapping[str, int]) -> None:
    """Let each numbered table go on after a number, where the database records that."""
    recording = "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"
    for (name,) in connection.execute(recording).fetchall():
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
        if numbers[name]:
            connection.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, numbers[name])
            )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
