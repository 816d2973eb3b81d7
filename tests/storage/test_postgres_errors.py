"""What callers get when PostgreSQL fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as postgres_errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from support.clock import FakeClock
from support.postgres import FAST, PostgresServer
from support.stores import indexed, opened
from support.waiting import until

from service import errors
from service.storage.database import ReadKind
from service.storage.postgres.postgres_connections import (
    PostgresConnection,
    complete_address,
    open_connection,
)
from service.storage.postgres.postgres_errors import (
    FAILOVER_RETRY_SECONDS,
    translate_error,
    translate_postgres_errors,
)
from service.storage.sql import Connection
from service.storage.writer import Transaction

pytestmark = pytest.mark.postgres

FAILURES = [
    psycopg.InterfaceError("the connection is closed"),
    psycopg.OperationalError("server closed the connection unexpectedly"),
    PoolClosed("the pool is closed"),
    PoolTimeout("no connection"),
    TooManyRequests("too many"),
    postgres_errors.IdleInTransactionSessionTimeout(),
    postgres_errors.TransactionTimeout(),
    postgres_errors.InternalError_(),
    postgres_errors.InsufficientPrivilege(),
    postgres_errors.ReadOnlySqlTransaction(),
    postgres_errors.ObjectNotInPrerequisiteState(),
    postgres_errors.InvalidSchemaName(),
    postgres_errors.AdminShutdown(),
    postgres_errors.SerializationFailure(),
]

DEFECTS = [
    psycopg.ProgrammingError("the query has 1 placeholder but 2 parameters were passed"),
    psycopg.DataError("integer out of range"),
    psycopg.NotSupportedError("not in pipelines"),
    postgres_errors.NumericValueOutOfRange(),
    postgres_errors.UniqueViolation(),
    postgres_errors.UndefinedTable(),
    postgres_errors.SyntaxError(),
    postgres_errors.FeatureNotSupported(),
    ValueError("no error of PostgreSQL"),
]


@pytest.mark.parametrize("exc", FAILURES, ids=lambda exc: type(exc).__name__)
def test_a_failure_of_the_server_is_temporary(exc: Exception) -> None:
    """Callers get UNAVAILABLE with a delay, and the log the cause."""
    error = translate_error(exc)
    assert isinstance(error, errors.StoreUnavailable)
    assert FAILOVER_RETRY_SECONDS == error.retry_after_seconds
    assert exc is error.__cause__
    with pytest.raises(errors.StoreUnavailable), translate_postgres_errors():
        raise exc


@pytest.mark.parametrize("exc", DEFECTS, ids=lambda exc: type(exc).__name__)
def test_a_defect_of_a_statement_stays_one(exc: Exception) -> None:
    """Errors that the same statement always has are not hidden."""
    assert exc is translate_error(exc)


@contextmanager
def ended_session(connection: Connection) -> Iterator[None]:
    """Stand still in a transaction until the server has ended its session."""
    assert isinstance(connection, PostgresConnection)
    connection.execute("SET idle_in_transaction_session_timeout = 1")
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    address = connection.connection.info.dsn
    with closing(psycopg.connect(address, autocommit=True)) as other:

        def has_ended() -> bool:
            query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
            return other.execute(query, (pid,)).fetchone() is None

        until(has_ended)
    yield


def stand_still(transaction: Transaction) -> None:
    """Change a row, before and after the session has ended."""
    change = "UPDATE counters SET value = value WHERE name = 'catalogs'"
    transaction.connection.execute(change)
    with ended_session(transaction.connection):
        transaction.connection.execute(change)


def stand_still_at_the_end(transaction: Transaction) -> None:
    """Change a row, then let the session end before the commit."""
    transaction.connection.execute("UPDATE counters SET value = value WHERE name = 'catalogs'")
    with ended_session(transaction.connection):
        pass


@pytest.mark.parametrize("operation", [stand_still, stand_still_at_the_end])
async def test_a_write_that_stood_still_can_be_repeated(
    tmp_path: Path, operation: Callable[[Transaction], None]
) -> None:
    """A process that stood still too long in a transaction gets UNAVAILABLE, and writes on."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        with pytest.raises(errors.StoreUnavailable) as caught:
            await stores.database.write(operation)
        assert FAILOVER_RETRY_SECONDS == caught.value.retry_after_seconds
        (stored,) = await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        assert "a" == stored.item.item_id


@pytest.mark.parametrize("at_one_moment", [True, False])
async def test_a_read_that_stood_still_is_repeated(tmp_path: Path, at_one_moment: bool) -> None:
    """A read whose session has ended runs again on another connection."""
    attempts = itertools.count(1)

    def query(connection: Connection) -> int:
        attempt = next(attempts)
        if attempt == 1:
            if not at_one_moment:
                connection.execute("BEGIN")
            with ended_session(connection):
                connection.execute("SELECT 1")
        return attempt

    async with opened(tmp_path, FakeClock()) as (stores, _):
        assert 2 == await stores.database.read(query, ReadKind.SCAN, at_one_moment=at_one_moment)


async def test_a_missing_permission_is_temporary(tmp_path: Path) -> None:
    """Reads and writes that the role may not do now are UNAVAILABLE, until it may again."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):

        def read_without_permission(connection: Connection) -> None:
            connection.execute("SET ROLE pg_database_owner")
            try:
                connection.execute("SELECT * FROM akin.commits")
            finally:
                connection.execute("RESET ROLE")

        def write_without_permission(transaction: Transaction) -> None:
            transaction.connection.execute("SET LOCAL ROLE pg_database_owner")
            transaction.connection.execute("DELETE FROM akin.commits")

        with pytest.raises(errors.StoreUnavailable):
            await stores.database.read(read_without_permission)
        with pytest.raises(errors.StoreUnavailable):
            await stores.database.write(write_without_permission)
        (stored,) = await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        assert stored.sequence == await stores.database.refresh()


async def test_a_defect_of_a_write_reaches_the_log(tmp_path: Path) -> None:
    """A statement that can never succeed is not reported as an outage."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        with pytest.raises(postgres_errors.UndefinedTable):
            await stores.database.write(
                lambda transaction: transaction.connection.execute("DELETE FROM nothing")
            )


@pytest.mark.slow
def test_a_standby_that_recovers_is_a_failure(tmp_path: Path) -> None:
    """A server that has become a standby refuses unlogged tables and writes: UNAVAILABLE."""
    primary = PostgresServer({**FAST, "wal_level": "replica"})
    standby: PostgresServer | None = None
    try:
        primary.execute("CREATE SCHEMA akin; CREATE UNLOGGED TABLE akin.pieces (number INTEGER)")
        source = f"host={primary.folder} port={primary.port} user=akin"
        standby = PostgresServer(FAST, source=source)
        address = complete_address(standby.address() + "&target_session_attrs=any")
        for statement in ("SELECT * FROM pieces", "CREATE TABLE other (number INTEGER)"):
            with closing(open_connection(address)) as connection:
                with pytest.raises(errors.StoreUnavailable), translate_postgres_errors():
                    connection.execute(statement.encode())
    finally:
        for server in (standby, primary):
            if server is not None:
                server.stop()
