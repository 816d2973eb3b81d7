"""Transactions of PostgreSQL whose outcome the connection does not tell."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.postgres import PostgresServer, set_standby_names
from support.server import free_address
from support.sockets import Relay
from support.waiting import until

from service import errors
from service.storage.database import ReadKind
from service.storage.postgres.commit_history import LOCK_WRITES
from service.storage.postgres.listener import Listener
from service.storage.postgres.migrations import migrate_schema, read_migrations
from service.storage.postgres.outage_log import OutageLog
from service.storage.postgres.postgres_connections import complete_address, open_connection
from service.storage.postgres.postgres_database import PostgresDatabase
from service.storage.postgres.postgres_session import CHANNEL, PostgresSession
from service.storage.sql import Connection
from service.storage.write_queue import Job
from service.storage.writer import Transaction

pytestmark = pytest.mark.postgres

# The server is asked about a transaction after this time, in place of 10 s.
PATIENCE_SECONDS = 0.2

# The outcome of a commit must be known after this time, in place of 8 s.
SHORT_SECONDS = 0.5

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory'"
LOCKED = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server that also listens on the loopback interface."""
    port = int(free_address().rpartition(":")[2])
    server = PostgresServer({"fsync": "off", "full_page_writes": "off"}, port=port)
    try:
        with closing(open_connection(complete_address(server.address()))) as connection:
            migrate_schema(connection)
        yield server
    finally:
        server.stop()


@pytest.fixture
def relay(postgres: PostgresServer) -> Iterator[Relay]:
    """A proxy before the server."""
    with Relay(f"127.0.0.1:{postgres.port}") as relay:
        yield relay


class Writer:
    """Writes rows through a session."""

    def __init__(self, session: PostgresSession) -> None:
        self.session = session

    async def write(
        self, name: str, *, is_numbered: bool = True, then: Callable[[], None] | None = None
    ) -> None:
        """Insert a row; then call a function before the transaction ends."""

        def operation(transaction: Transaction) -> None:
            if is_numbered:
                transaction.next_sequence()
            transaction.connection.execute("INSERT INTO spaces (fingerprint) VALUES (?)", (name,))
            if then is not None:
                then()

        job = Job(operation, asyncio.get_running_loop().create_future(), 1)
        _, (outcome,) = await asyncio.to_thread(self.session.commit, [job])
        if isinstance(outcome, Exception):
            raise outcome


@asynccontextmanager
async def writing(address: str, resolve_seconds: float = 60.0) -> AsyncIterator[Writer]:
    """Yield a writer to a server."""
    session = PostgresSession(
        complete_address(address),
        FakeClock(),
        resolve_seconds=resolve_seconds,
        patience_seconds=PATIENCE_SECONDS,
    )
    try:
        yield Writer(session)
    finally:
        await asyncio.to_thread(session.close)


def address_of(relay: Relay) -> str:
    """The address of the server behind a proxy."""
    return f"postgresql://akin@{relay.address}/postgres"


def count_rows(postgres: PostgresServer, name: str) -> int:
    """The number of rows that a name was written in."""
    ((count,),) = postgres.execute(
        f"SELECT count(*) FROM akin.spaces WHERE fingerprint = '{name}'"  # noqa: S608
    )
    return int(count)


def list_events(lines: Sequence[Any]) -> list[str]:
    """The events of a captured log, without those of repetitions."""
    return [line["event"] for line in lines if line["event"] != "stamina.retry_scheduled"]


async def until_logged(lines: Sequence[Any], event: str) -> None:
    """Wait until a captured log has an event of the watchdog, which logs what it has done."""
    await asyncio.to_thread(until, lambda: event in list_events(lines))


async def until_waiting(postgres: PostgresServer, former: int = 0) -> int:
    """Wait until another session than a former one waits for a standby; return its process."""
    process_ids: list[int] = []

    def is_waiting() -> bool:
        process_ids[:] = [number for (number,) in postgres.execute(WAITING) if number != former]
        return bool(process_ids)

    await asyncio.to_thread(until, is_waiting)
    return process_ids[0]


@pytest.mark.parametrize("is_numbered", [True, False])
async def test_a_canceled_wait_for_a_standby_is_no_success(
    postgres: PostgresServer, *, is_numbered: bool
) -> None:
    """A commit whose wait an operator cancels is acknowledged once a standby has it."""
    name = secrets.token_hex()
    async with writing(postgres.address()) as writer:
        await writer.write(f"{name} first")
        set_standby_names(postgres, "ANY 1 (missing)")
        try:
            with capture_logs() as lines:
                write = asyncio.create_task(writer.write(name, is_numbered=is_numbered))
                # The second one is by which the session learns what has become of the first.
                process_id = 0
                for _ in range(2):
                    process_id = await until_waiting(postgres, process_id)
                    postgres.execute(CANCEL)
                await until_waiting(postgres, process_id)
                assert 1 == count_rows(postgres, name)
                assert not write.done()
                set_standby_names(postgres, "")
                await write
        finally:
            set_standby_names(postgres, "")
    assert ["commit_interrupted", "commit_resolved"] == list_events(lines)
    assert 1 == count_rows(postgres, name)


@pytest.mark.parametrize("is_locked", [True, False])
async def test_the_search_for_an_outcome_ends(postgres: PostgresServer, *, is_locked: bool) -> None:
    """If another transaction or the standby takes too long, the error leaves the outcome open."""
    name = secrets.token_hex()
    with psycopg.connect(postgres.address()) as other:
        async with writing(postgres.address(), resolve_seconds=SHORT_SECONDS) as writer:
            await writer.write(f"{name} first")
            set_standby_names(postgres, "ANY 1 (missing)")
            try:
                write = asyncio.create_task(writer.write(name))
                await until_waiting(postgres)
                if is_locked:
                    locking = asyncio.create_task(asyncio.to_thread(other.execute, LOCK_WRITES))
                    await asyncio.to_thread(until, lambda: bool(postgres.execute(BLOCKED)))
                postgres.execute(CANCEL)
                with pytest.raises(errors.StoreUnavailable, match="may have been stored"):
                    await write
                if is_locked:
                    await locking
            finally:
                set_standby_names(postgres, "")
            other.rollback()
            await writer.write(f"{name} last")
    assert 1 == count_rows(postgres, name)


@pytest.mark.parametrize("is_numbered", [True, False])
async def test_a_commit_whose_answer_is_lost_is_found(
    postgres: PostgresServer, relay: Relay, *, is_numbered: bool
) -> None:
    """A write succeeds, once, if the connection stalls after the server got the commit."""
    name = secrets.token_hex()
    async with writing(address_of(relay)) as writer:
        with capture_logs() as lines:
            await writer.write(name, is_numbered=is_numbered, then=relay.lose_answers)
            await until_logged(lines, "connection_stalled")
        await writer.write(f"{name} last")
    assert 1 == count_rows(postgres, name)
    events = {"commit_interrupted", "commit_resolved", "connection_stalled"}
    assert events == set(list_events(lines)) - {"clock_differs"}


async def test_a_commit_that_is_lost_is_an_error(postgres: PostgresServer, relay: Relay) -> None:
    """If the connection stalls before the server got the commit, the write fails, not stored."""
    name = secrets.token_hex()
    async with writing(address_of(relay)) as writer:
        with pytest.raises(errors.StoreUnavailable) as caught:
            await writer.write(name, then=relay.stall)
        assert "may have been stored" not in str(caught.value)
        assert 0 == count_rows(postgres, name)
        await writer.write(name)
    assert 1 == count_rows(postgres, name)


async def test_a_write_replaces_a_stalled_connection(
    postgres: PostgresServer, relay: Relay
) -> None:
    """A connection that stalls between two writes does not stop the second one."""
    name = secrets.token_hex()
    async with writing(address_of(relay)) as writer:
        await writer.write(f"{name} first")
        relay.stall()
        with capture_logs() as lines:
            await writer.write(name)
            await until_logged(lines, "connection_stalled")
    assert ["connection_stalled"] == list_events(lines)
    assert 1 == count_rows(postgres, name)


async def test_a_long_wait_for_others_goes_on(postgres: PostgresServer, relay: Relay) -> None:
    """A transaction that waits for another one is not ended, however often the server is asked."""
    async with writing(address_of(relay)) as writer:
        await writer.write(secrets.token_hex())
        with psycopg.connect(postgres.address()) as other, capture_logs() as lines:
            other.execute(LOCK_WRITES)
            before = relay.connection_count
            write = asyncio.create_task(writer.write(secrets.token_hex()))
            await asyncio.to_thread(until, lambda: relay.connection_count >= before + 3)
            assert not write.done()
            other.commit()
            await write
    assert [] == lines


async def test_a_process_that_stands_still_does_not_stop_writes(postgres: PostgresServer) -> None:
    """A session that keeps the lock of writes in the middle of its statements is ended."""
    name = secrets.token_hex()
    async with writing(postgres.address()) as writer:
        await writer.write(f"{name} first")
        with closing(psycopg.connect(postgres.address(), autocommit=True)) as frozen:
            frozen.execute("BEGIN")
            frozen.pgconn.enter_pipeline_mode()
            frozen.pgconn.send_query_params(LOCK_WRITES.encode(), None)
            frozen.pgconn.send_flush_request()  # a pipeline ends with more than this
            with capture_logs() as lines:
                frozen.pgconn.flush()
                await asyncio.to_thread(until, lambda: bool(postgres.execute(LOCKED)))
                await writer.write(name)
                await until_logged(lines, "frozen_session_ended")
    assert ["frozen_session_ended"] == list_events(lines)
    assert 1 == count_rows(postgres, name)


def test_a_listener_replaces_a_stalled_connection(postgres: PostgresServer, relay: Relay) -> None:
    """Notifications come again after a proxy has stalled, though nothing closes the connection."""
    heard: list[int | None] = []
    address = complete_address(address_of(relay))
    version = read_migrations()[-1].number
    listener = Listener(address, version, heard.append, OutageLog(), PATIENCE_SECONDS)
    try:

        def is_heard() -> bool:
            postgres.execute(f"NOTIFY {CHANNEL}, '{len(heard) + 1}'")
            return bool(heard)

        until(is_heard)
        relay.stall()
        until(lambda: None in heard)
        del heard[:]
        until(is_heard)
    finally:
        listener.close()


async def test_reads_replace_stalled_connections(relay: Relay) -> None:
    """Reads whose connections stall are repeated over others, though all in the pool stall."""

    def query(connection: Connection) -> object:
        return connection.execute("SELECT count(*) FROM counters").fetchone()

    database = PostgresDatabase(address_of(relay), FakeClock(), patience_seconds=PATIENCE_SECONDS)
    try:

        async def read_all() -> list[object]:
            reads = (database.read(query, kind, at_one_moment=True) for kind in ReadKind)
            return await asyncio.gather(*reads)

        before = await read_all()
        relay.stall()
        with capture_logs() as lines:
            assert before == await read_all()
            await until_logged(lines, "connection_stalled")
    finally:
        await database.close()
