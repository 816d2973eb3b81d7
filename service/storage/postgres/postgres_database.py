"""The database of several machines: a PostgreSQL server, which all replicas share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg
from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool, PoolTimeout

from service import errors
from service.domain.items import Anchor
from service.storage.database import (
    READER_THREADS,
    REMOVED_STATES,
    Database,
    ReadKind,
    ReadSource,
    read_store_id,
)
from service.storage.item_writer import ItemWriter
from service.storage.postgres import commit_history
from service.storage.postgres.dialect import translate_sql
from service.storage.postgres.listener import Listener
from service.storage.postgres.migrations import Migration, migrate_schema, read_migrations
from service.storage.postgres.outage_log import OutageLog, StorePart, WatchedSession
from service.storage.postgres.postgres_connections import (
    ADAPTERS,
    PostgresConnection,
    complete_address,
    configure,
    open_connection,
    watch_connections,
)
from service.storage.postgres.postgres_errors import (
    describe_error,
    has_lost_session,
    translate_postgres_errors,
)
from service.storage.postgres.postgres_session import PostgresSession
from service.storage.postgres.snapshot_shelf import prune_snapshots
from service.storage.postgres.watchdog import PATIENCE_SECONDS
from service.storage.postgres.write_batch import BatchItemWriter, BatchUserWriter
from service.storage.sql import Connection, Parameters
from service.storage.unfinished_moves import STATE_TABLE, refuse_unfinished
from service.storage.user_writer import UserWriter
from service.storage.writer import Transaction

_T = TypeVar("_T")

# The interval at which a process looks for the writes of others, if no notification comes.
LOOK_SECONDS = 1.0

# Rows that another process reads at once.
ROWS_PER_FETCH = 10_000

# Longest wait of a read for a connection, while the server restarts or a standby is promoted.
READ_WAIT_SECONDS = 5.0

# The same once a read has waited in vain.
SHORT_READ_WAIT_SECONDS = 0.05

# Time after which the pool gives up to replace a lost connection. The next read then tries again at
# once; otherwise the pauses between attempts would grow.
RECONNECT_SECONDS = 5.0

# Longest pause between two statements of a process that works on what it reads.
# It locks no row, but the server keeps all row versions that it can see.
LONGEST_PAUSE: Final = "10min"

# Levels of synchronous_commit with which a commit does not wait for a standby.
_UNREPLICATED_LEVELS = frozenset({"off", "local"})


class PostgresDatabase(Database):
    """The open database of one process.

    Args:
        address: of the server, in the form of libpq.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
        lease_clock_ns: as `PostgresSession` takes it.
        migrations: as `migrate_schema` takes them.
        patience_seconds: as `PostgresSession` takes it, also for reads.

    Raises:
        StoreUnavailable, StoreCorrupted: the database cannot be used, is the target of an
            unfinished move, or a newer version of Akin wrote it.
    """

    def __init__(
        self,
        address: str,
        clock_ns: Callable[[], int],
        lease_clock_ns: Callable[[], int] | None = None,
        migrations: Sequence[Migration] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._address = complete_address(address)
        migrations = migrations or read_migrations()
        try:
            with closing(open_connection(self._address)) as connection:
                migrate_schema(connection, migrations)
                statements = PostgresConnection(connection)
                state = statements.execute("SELECT to_regclass(?)", (STATE_TABLE,)).fetchone()
                if state != (None,):
                    refuse_unfinished()
                last_sequence = commit_history.read_last_anchor(statements).sequence
                store_id = read_store_id(statements)
        except psycopg.Error as exc:
            raise errors.StoreUnavailable(
                f"the store cannot be used: {describe_error(exc)}"
            ) from exc
        self._outages = OutageLog()
        self._connect_error: psycopg.Error | None = None
        self._pool = ConnectionPool(
            self._address,
            connection_class=watch_connections(self._note_connect_error),
            kwargs={"autocommit": True, "context": ADAPTERS},
            min_size=1,
            max_size=sum(READER_THREADS.values()),
            configure=configure,
            timeout=READ_WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            open=True,
        )
        session = PostgresSession(
            self._address, clock_ns, lease_clock_ns, patience_seconds=patience_seconds
        )
        self._watchdog = session.watchdog
        watched = WatchedSession(session, self._outages)
        super().__init__(watched, last_sequence, store_id, clock_ns)
        self._is_away = False
        self._next_wait_time = 0.0
        self._has_news = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear(sequence: int | None) -> None:
            loop.call_soon_threadsafe(self._hear, sequence)

        self._listener = Listener(self._address, migrations[-1].number, hear, self._outages)

    async def follow_others(self) -> bool:
        """Wait for a notification, at most for the interval at which processes look."""
        before = self.commits.last_sequence, self.commits.doubts
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._has_news.wait()
        if not self._has_news.is_set() or self.commits.doubts > before[1]:
            await self.refresh()
        self._has_news.clear()
        return before != (self.commits.last_sequence, self.commits.doubts)

    async def find_replication_problem(self) -> str:
        """Return why a commit does not wait for a standby: see Database."""
        return await self.read(_find_replication_problem)

    async def close(self) -> None:
        """Finish the queued writes, and close the database."""
        await asyncio.to_thread(self._listener.close)
        await super().close()

    def _hear(self, sequence: int | None) -> None:
        """Take note of a commit, or of an interruption, in the event loop."""
        if sequence is None:
            # Another server may have been promoted in that time.
            self.commits.doubt()
            self._has_news.set()
        elif sequence > self.commits.last_sequence:
            self.commits.announce(sequence)
            self._has_news.set()

    def read_last_anchor(self, connection: Connection) -> Anchor:
        """Return the last sequence number, with the token of its commit."""
        return commit_history.read_last_anchor(connection)

    def confirm(self, connection: Connection, anchor: Anchor, sequence: int) -> Anchor | None:
        """Return an anchor for what has been read, None if the database has lost its history."""
        return commit_history.confirm(connection, anchor, sequence)

    async def prune(self) -> int:
        """Remove a round of old commits, and of unused snapshots."""
        old_rows = await self.read(commit_history.find_old_rows, ReadKind.SCAN)

        def operation(transaction: Transaction) -> int:
            rows = prune_snapshots(transaction.connection, REMOVED_STATES)
            return rows + commit_history.prune(transaction, old_rows)

        return await self.write(operation, commit_history.PRUNED_ROWS)

    @property
    def item_writer(self) -> ItemWriter:
        """How items are written: all items of a transaction together."""
        return BatchItemWriter()

    @property
    def user_writer(self) -> UserWriter:
        """How users are written: all users of a transaction together."""
        return BatchUserWriter()

    @property
    def read_source(self) -> ReadSource:
        """What another process needs to read the database."""
        return PostgresSource(self._address)

    def _run_query(self, query: Callable[[Connection], _T], *, at_one_moment: bool) -> _T:
        try:
            with translate_postgres_errors():
                result = self._run_twice(query, at_one_moment=at_one_moment)
        except errors.AkinError as exc:
            cause = exc.__cause__
            if isinstance(cause, PoolTimeout):
                cause = self._connect_error or cause
            self._outages.report_failure(StorePart.READS, cause)
            raise
        self._connect_error = None
        self._outages.report_success(StorePart.READS)
        return result

    def _note_connect_error(self, exc: psycopg.Error) -> None:
        """Remember why the pool cannot connect, which its own errors do not say."""
        self._connect_error = exc

    def _run_twice(self, query: Callable[[Connection], _T], *, at_one_moment: bool) -> _T:
        """Run a query, once more if its connection was lost."""
        try:
            return self._run_once(query, at_one_moment=at_one_moment)
        except PoolTimeout:
            raise  # all connections were lost before, and the server is away
        except psycopg.Error as exc:
            if not has_lost_session(exc):
                raise
            # After a failover, or if a proxy stalls, every connection of the pool is lost. To check
            # the others could take forever, so the pool replaces them now.
            self._pool.drain()
            return self._run_once(query, at_one_moment=at_one_moment)

    def _run_once(self, query: Callable[[Connection], _T], *, at_one_moment: bool) -> _T:
        with (
            self._wait_for_connection() as connection,
            closing(self._watchdog.watch(connection)),
        ):
            if not at_one_moment:
                return query(PostgresConnection(connection))
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                return query(PostgresConnection(connection))
            finally:
                if not connection.closed:
                    connection.execute("COMMIT")

    @contextmanager
    def _wait_for_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Take a connection of the pool.

        Raises:
            PoolTimeout: the server is away. Reads that follow fail soon, or they would queue up.
        """
        if time.monotonic() < self._next_wait_time:
            raise PoolTimeout("no connection since the last attempt")
        wait_seconds = SHORT_READ_WAIT_SECONDS if self._is_away else READ_WAIT_SECONDS
        try:
            connection = self._pool.getconn(wait_seconds)
        except PoolTimeout:
            self._is_away = True
            self._next_wait_time = time.monotonic() + SHORT_READ_WAIT_SECONDS
            raise
        self._is_away = False
        try:
            yield connection
        finally:
            self._pool.putconn(connection)

    def _close_readers(self) -> None:
        self._pool.close()


def _find_replication_problem(connection: Connection) -> str:
    names, level = connection.execute(
        """SELECT current_setting('synchronous_standby_names'),
               current_setting('synchronous_commit')"""
    ).fetchone()
    if not names:
        return "synchronous_standby_names is empty"
    if level == "remote_write":
        return "synchronous_commit is remote_write: a commit does not wait for the standby's disk"
    return f"synchronous_commit is {level}" if level in _UNREPLICATED_LEVELS else ""


@dataclass(frozen=True, slots=True)
class PostgresSource:
    """Opens a connection for reading: see ReadSource."""

    address: str

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """Open a connection, which is in a transaction."""
        try:
            with closing(open_connection(self.address)) as connection:
                connection.execute(f"SET idle_in_transaction_session_timeout = '{LONGEST_PAUSE}'")
                connection.isolation_level = IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                connection.autocommit = False
                statements = _StreamingConnection(connection)
                with closing(statements):
                    yield statements
        except psycopg.Error as exc:
            raise errors.StoreUnavailable("the database cannot be read") from exc


class _StreamingConnection(PostgresConnection):
    """Reads the rows of a statement in parts, so that they need not fit into memory."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self._cursors: list[psycopg.ServerCursor[Any]] = []

    def execute(self, sql: str, parameters: Parameters = (), /) -> psycopg.Cursor[Any]:
        """Run a query."""
        cursor = self.connection.cursor(f"akin_{len(self._cursors)}", binary=True)
        cursor.itersize = ROWS_PER_FETCH
        self._cursors.append(cursor)
        cursor.execute(translate_sql(sql), parameters)
        return cursor

    def close(self) -> None:
        """Close what the statements have left open."""
        for cursor in self._cursors:
            cursor.close()
