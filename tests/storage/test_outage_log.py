"""What the log says about outages of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.postgres import database_of, query_database
from support.stores import indexed, opened
from support.waiting import until

from service import errors
from service.storage.postgres.outage_log import REASON_REPEAT_SECONDS, REASONS_PER_OUTAGE, OutageLog
from service.storage.postgres.outage_log import StorePart as Part
from service.storage.postgres.postgres_database import PostgresDatabase
from service.storage.postgres.postgres_session import CHANNEL

pytestmark = pytest.mark.postgres

REFUSED = psycopg.OperationalError("connection refused\n\tIs the server running?")
ROLE = "shop"

# The sessions of the role in the database of a test.
SESSIONS = f"FROM pg_stat_activity WHERE usename = '{ROLE}' AND datname = current_database()"

Events = Sequence[Mapping[str, Any]]


class Seconds:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now


def list_events(log: Events, *names: str) -> list[tuple[str, str]]:
    """The events of these names, with their reasons."""
    return [(line["event"], line.get("reason", "")) for line in log if line["event"] in names]


def list_outages(log: Events) -> list[tuple[str, str]]:
    return list_events(log, "store_unavailable", "store_available")


BEGIN = ("store_unavailable", "connection refused Is the server running?")
END = ("store_available", "")


def test_an_outage_is_two_lines() -> None:
    """However many parts fail how often, the log has the beginning and the end of an outage."""
    outages = OutageLog(Seconds())
    with capture_logs() as log:
        outages.report_success(Part.READS)
        for part in (*Part, *Part):
            outages.report_failure(part, REFUSED)
        for part in Part:
            assert [BEGIN] == list_outages(log)
            outages.report_success(part)
        assert [BEGIN, END] == list_outages(log)
        outages.report_success(Part.READS)
        assert [BEGIN, END] == list_outages(log)


def test_what_fails_and_works_by_turns_is_logged_once_in_a_while() -> None:
    """A reason is repeated only after a time, also during an outage that began before it."""
    seconds = Seconds()
    outages = OutageLog(seconds)
    with capture_logs() as log:
        for _ in range(9):
            outages.report_failure(Part.WRITES, REFUSED)
            outages.report_success(Part.WRITES)
        assert [BEGIN, END] == list_outages(log)
        outages.report_failure(Part.WRITES, REFUSED)
        seconds.now += REASON_REPEAT_SECONDS
        outages.report_failure(Part.WRITES, REFUSED)
        assert [BEGIN, END, BEGIN] == list_outages(log)


def test_an_outage_has_a_line_for_each_reason() -> None:
    """The reason of an outage can change; the number of lines has a limit."""
    outages = OutageLog(Seconds())
    with capture_logs() as log:
        for number in range(3 * REASONS_PER_OUTAGE):
            outages.report_failure(Part.READS, psycopg.OperationalError(f"reason {number}"))
    expected = [("store_unavailable", f"reason {number}") for number in range(REASONS_PER_OUTAGE)]
    assert expected == list_outages(log)


def test_other_errors_are_no_outages() -> None:
    """An error that PostgreSQL did not cause is not logged."""
    outages = OutageLog(Seconds())
    with capture_logs() as log:
        outages.report_failure(Part.READS, ValueError("a defect"))
        outages.report_failure(Part.READS, None)
    assert [] == log


def create_role(folder: Path) -> str:
    """Create a role that owns the tables; return the address of its connections."""
    address = database_of(folder)
    query_database(
        folder,
        f"""DO $$ BEGIN
            IF to_regrole('{ROLE}') IS NULL THEN CREATE ROLE {ROLE}; END IF;
            ALTER ROLE {ROLE} LOGIN PASSWORD NULL;
            EXECUTE format('GRANT CREATE ON DATABASE %I TO {ROLE}', current_database());
        END $$""",
    )
    return address.replace("akin@", f"{ROLE}@")


def end_sessions(folder: Path) -> None:
    query_database(folder, f"SELECT pg_terminate_backend(pid) {SESSIONS}")


async def poll(holds: Callable[[], bool]) -> None:
    """Wait for a condition while the event loop runs."""
    await asyncio.to_thread(until, holds)


async def test_the_log_says_why_the_database_cannot_be_used(tmp_path: Path) -> None:
    """A role that may no longer log in is named once, and once the database is back."""
    database = PostgresDatabase(create_role(tmp_path), FakeClock())
    try:
        await poll(lambda: count_listeners(tmp_path) == 1)
        with capture_logs() as log:
            query_database(tmp_path, f"ALTER ROLE {ROLE} NOLOGIN")
            end_sessions(tmp_path)
            await poll(lambda: bool(list_outages(log)))
            for _ in range(3):
                with pytest.raises(errors.StoreUnavailable):
                    await database.refresh()
                with pytest.raises(errors.StoreUnavailable):
                    await database.write(lambda transaction: transaction.next_sequence())
            ((event, reason),) = list_outages(log)
            assert "store_unavailable" == event
            assert f'role "{ROLE}" is not permitted to log in' in reason
            query_database(tmp_path, f"ALTER ROLE {ROLE} LOGIN")

            async def is_back() -> bool:
                try:
                    await database.refresh()
                    await database.write(lambda transaction: transaction.now_us)
                except errors.StoreUnavailable:
                    return False
                return [END] == list_outages(log)[1:]

            while not await is_back():
                await asyncio.to_thread(count_listeners, tmp_path)
            assert 1 == len(list_events(log, "listener_interrupted"))
    finally:
        await database.close()


def count_listeners(folder: Path) -> int:
    """The number of sessions of the role that listen."""
    queries = query_database(folder, f"SELECT query {SESSIONS}")
    return queries.count((f"LISTEN {CHANNEL}",))


async def test_a_failed_write_leaves_callers_texts_out_of_the_log(tmp_path: Path) -> None:
    """The log has the message of the server without its details."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        query_database(
            tmp_path,
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN RAISE 'no more items' USING DETAIL = NEW.item_id; END$$;
               CREATE TRIGGER refuse BEFORE INSERT ON items FOR EACH ROW
               EXECUTE FUNCTION refuse()""",
        )
        with capture_logs() as log:
            for _ in range(2):
                with pytest.raises(errors.StoreUnavailable):
                    await stores.items.upsert_many(catalog, [indexed("secret-id", "tea")])
            query_database(tmp_path, "DROP TRIGGER refuse ON items")
            await stores.items.upsert_many(catalog, [indexed("secret-id", "tea")])
        assert [("store_unavailable", "no more items"), END] == list_outages(log)
        assert "secret-id" not in str(log)


async def test_foreign_notifications_are_ignored(tmp_path: Path) -> None:
    """Any role can notify with any text; after that, the commits of others are heard."""
    address = database_of(tmp_path)
    one = PostgresDatabase(address, FakeClock())
    other = PostgresDatabase(address, FakeClock())
    try:
        with capture_logs() as log:
            for payload in ("", "abc", "-1", "1.5", "²", "9" * 5_000):
                query_database(tmp_path, f"NOTIFY {CHANNEL}, '{payload}'")
            sequence = await one.write(_change_catalogs)
            await poll(lambda: sequence == other.commits.last_sequence)
            assert other.commits.last_sequence == sequence
        assert [] == list_events(log, "listener_interrupted", "commits_lost")
    finally:
        await one.close()
        await other.close()


def _change_catalogs(transaction: Any) -> int:
    sequence = transaction.next_sequence()
    transaction.connection.execute("UPDATE counters SET value = value WHERE name = 'catalogs'")
    return int(sequence)


async def test_failures_of_the_listener_in_a_row_are_logged_once(tmp_path: Path) -> None:
    """A listener that cannot listen tries again after pauses, and says so once."""
    lock = "FUNCTION pg_advisory_lock_shared(integer, integer)"
    database = PostgresDatabase(create_role(tmp_path), FakeClock())
    try:
        await poll(lambda: count_listeners(tmp_path) == 1)
        with capture_logs() as log:
            query_database(tmp_path, f"REVOKE EXECUTE ON {lock} FROM PUBLIC")
            end_sessions(tmp_path)
            await poll(lambda: len(list_events(log, "listener_interrupted")) == 1)
            query_database(tmp_path, f"GRANT EXECUTE ON {lock} TO PUBLIC")
            await poll(lambda: len(list_events(log, "listener_resumed")) == 1)
            assert 1 == len(list_events(log, "listener_interrupted"))
            assert 1 == count_listeners(tmp_path)
    finally:
        await database.close()
