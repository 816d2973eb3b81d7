"""The database of one machine: a file, which all processes of a server share."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from service import errors, files
from service.domain.items import BEGINNING, Anchor
from service.storage.data_folder import DATABASE, create_data_folder, make_unusable_error
from service.storage.database import Database, ReadSource, read_store_id
from service.storage.item_writer import ItemWriter
from service.storage.row_item_writer import RowItemWriter
from service.storage.row_user_writer import RowUserWriter
from service.storage.sql import Connection
from service.storage.sqlite.connections import connect
from service.storage.sqlite.migrations import migrate
from service.storage.sqlite.sqlite_errors import translate, translate_errors
from service.storage.unfinished_moves import STATE_TABLE, refuse_unfinished
from service.storage.user_writer import UserWriter
from service.storage.write_queue import Job
from service.storage.writer import Transaction

_T = TypeVar("_T")

# The longest delay before a process sees the writes of another one.
REFRESH_SECONDS = 0.05

# How long the end of a process waits for others that read the write-ahead log, to empty it.
CLOSING_WAIT_MS = 500


def prepare_folder(folder: Path) -> Path:
    """Create the folder and its database if they are missing, and migrate the database.

    Returns:
        The path of the database.

    Raises:
        StoreUnavailable: the folder cannot be used, or is the target of an unfinished move.
        StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
    """
    path = create_database(folder)
    with translate_errors(), closing(connect(path, read_only=True)) as connection:
        if connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = ?", (STATE_TABLE,)
        ).fetchone():
            refuse_unfinished()
    return path


def create_database(folder: Path) -> Path:
    """Do what `prepare_folder` does, also in the target of an unfinished move.

    Raises:
        StoreUnavailable: the folder cannot be used.
        StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
    """
    create_data_folder(folder)
    path = folder / DATABASE
    try:
        with suppress(FileExistsError):
            files.create_file(path)  # SQLite gives the files beside it the same mode
    except OSError as exc:
        raise make_unusable_error(folder, exc) from exc
    try:
        with translate_errors(), closing(connect(path)) as connection:
            migrate(connection)
            read_store_id(connection)
    except errors.StoreUnavailable as exc:
        raise errors.StoreUnavailable(f"{path} cannot be used: {exc.__cause__}") from exc
    except errors.AkinError as exc:
        raise type(exc)(f"{path}: {exc}") from exc
    except sqlite3.Error as exc:
        # It lacks tables of its schema version, or has other tables of their names.
        raise errors.StoreCorrupted(f"{path} is not a database of Akin: {exc}") from exc
    return path


class SqliteDatabase(Database):
    """The open database file of one process.

    Args:
        path: the database file, which has the newest schema.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
        monotonic_ns: returns the nanoseconds since a moment that all processes of the machine
            share. A jump of the wall clock must not end the leases of living processes.

    Raises:
        StoreUnavailable, StoreCorrupted: the file cannot be used, or it is damaged.
    """

    def __init__(
        self,
        path: Path,
        clock_ns: Callable[[], int],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.path = path
        self._local = threading.local()
        self._read_connections: list[sqlite3.Connection] = []
        with translate_errors():
            connection = connect(path)
            last_sequence, store_id = read_last_sequence(connection), read_store_id(connection)
        session = SqliteSession(connection, clock_ns, monotonic_ns)
        super().__init__(session, last_sequence, store_id, clock_ns)

    async def follow_others(self) -> bool:
        """Wait for the interval at which processes look for the writes of each other."""
        before = self.commits.last_sequence
        await asyncio.sleep(REFRESH_SECONDS)
        return await self.refresh() > before

    def read_last_anchor(self, connection: Connection) -> Anchor:
        """Return the last sequence number; commits of a file need no token."""
        return Anchor(read_last_sequence(connection), BEGINNING.token)

    def confirm(self, connection: Connection, anchor: Anchor, sequence: int) -> Anchor | None:  # noqa: ARG002
        """Return the beginning: a file keeps every commit that it has acknowledged."""
        return BEGINNING

    async def prune(self) -> int:
        """Return 0: a file has no such rows."""
        return 0

    @property
    def item_writer(self) -> ItemWriter:
        """How items are written: row by row."""
        return RowItemWriter()

    @property
    def user_writer(self) -> UserWriter:
        """How users are written: row by row."""
        return RowUserWriter()

    @property
    def read_source(self) -> ReadSource:
        """What another process needs to read the database."""
        return SqliteSource(self.path)

    def _run_query(self, query: Callable[[Connection], _T], *, at_one_moment: bool) -> _T:
        with translate_errors():
            connection = self._read_connection()
            if not at_one_moment:
                return query(connection)
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                if connection.in_transaction:  # a failing disk ends it
                    connection.execute("COMMIT")

    def _read_connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened on first use."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self.path, read_only=True)
            self._read_connections.append(connection)
        return connection

    def _close_readers(self) -> None:
        for connection in self._read_connections:
            connection.close()


@dataclass(frozen=True, slots=True)
class SqliteSource:
    """Opens a database file for reading: see ReadSource."""

    path: Path

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """Open a connection, which is in a transaction."""
        try:
            with closing(connect(self.path, read_only=True)) as connection:
                connection.execute("BEGIN")
                yield connection
        except sqlite3.Error as exc:
            raise errors.StoreUnavailable("the database cannot be read") from exc


class SqliteSession:
    """Runs each operation in a savepoint of its own, all in one transaction.

    Args:
        connection: only the session writes through it.
        clock_ns: as `SqliteDatabase` takes it.
        monotonic_ns: likewise.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self.connection = connection
        self.previous_sequence = 0
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns

    def commit(self, jobs: Sequence[Job]) -> tuple[int | None, Sequence[Any]]:
        """Run jobs in one transaction: see WriteSession."""
        with translate_errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                return self._run(jobs)
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Move the write-ahead log into the database, and close the connection.

        The log keeps its size while others read it, such as a backup.
        """
        with translate_errors(), closing(self.connection):
            # A program that replicates the log reads it all the time.
            self.connection.execute(f"PRAGMA busy_timeout = {CLOSING_WAIT_MS}")
            for step in ("PASSIVE", "TRUNCATE"):
                self.connection.execute(f"PRAGMA wal_checkpoint({step})")

    def _run(self, jobs: Sequence[Job]) -> tuple[int | None, Sequence[Any]]:
        changes_before = self.connection.total_changes
        self.previous_sequence = read_last_sequence(self.connection)
        transaction = Transaction(
            self.connection,
            self.previous_sequence,
            self._clock_ns() // 1_000,
            self._monotonic_ns() // 1_000,
        )
        outcomes = [self._attempt(job, transaction) for job in jobs]
        if self.connection.total_changes == changes_before:
            self.connection.execute("ROLLBACK")  # which does not wait for the disk
            return None, outcomes
        sequence = transaction.next_sequence() - 1
        self.connection.execute(
            "UPDATE counters SET value = ? WHERE name = 'sequence'", (sequence,)
        )
        self.connection.execute("COMMIT")
        return sequence, outcomes

    def _attempt(self, job: Job, transaction: Transaction) -> object:
        if job.needs_caller and job.future.cancelled():
            return None
        self.connection.execute("SAVEPOINT operation")
        try:
            outcome = job.operation(transaction)
        except Exception as exc:
            if not self.connection.in_transaction:
                raise  # the failure, such as a full disk, ended the whole transaction
            self.connection.execute("ROLLBACK TO operation")
            outcome = translate(exc) if isinstance(exc, sqlite3.Error) else exc
        self.connection.execute("RELEASE operation")
        return outcome


def read_last_sequence(connection: Connection) -> int:
    """Return the sequence number of the last write."""
    (value,) = connection.execute("SELECT value FROM counters WHERE name = 'sequence'").fetchone()
    return int(value)
