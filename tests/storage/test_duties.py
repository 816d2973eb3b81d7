"""Duties of several processes over one PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.postgres import FAST, HOST, PostgresServer, database_of, query_database
from support.server import free_address
from support.sockets import Relay
from support.stores import GIVE_UP_SECONDS
from support.tasks import left, started
from support.waiting import until

from service.storage.duties import Duty, FixedDuties
from service.storage.postgres.advisory_duties import (
    DUTY_ROUND_SECONDS,
    HOLD_SECONDS,
    AdvisoryDuties,
)
from service.storage.postgres.postgres_connections import complete_address

pytestmark = pytest.mark.postgres

SESSIONS = "FROM pg_stat_activity WHERE datname = current_database()"

HAS_DUTIES = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2)"

DUTY_SESSIONS = f"{SESSIONS} AND {HAS_DUTIES}"


@pytest.fixture(scope="module")
def network_postgres() -> Iterator[PostgresServer]:
    """A server that listens on a port."""
    server = PostgresServer(FAST, port=int(free_address().rpartition(":")[2]))
    yield server
    server.stop()


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[AdvisoryDuties]:
    """The duties of one process."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        duties = AdvisoryDuties(complete_address(database_of(folder)))
        try:
            yield duties
        finally:
            await duties.close()


async def take_all(duties: AdvisoryDuties) -> list[asyncio.Event]:
    """Wait until a process has every duty; return the events that tell of their loss."""
    return await asyncio.gather(*(duties.take(duty) for duty in Duty))


async def test_each_duty_has_one_doer(tmp_path: Path) -> None:
    """Of several processes one has a duty, and the next one takes it over when that one ends."""
    async with process(tmp_path) as second:
        async with process(tmp_path) as first:
            taking = {
                duties: [await started(duties.take(duty)) for duty in Duty]
                for duties in (first, second)
            }
            for pair in zip(*taking.values(), strict=True):
                done, _ = await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
                assert 1 == len(done)
            owned = [task.done() for task in taking[first]]
            assert owned == [not task.done() for task in taking[second]]
        await asyncio.gather(*taking[second])
        await left(*(task for task in taking[first] if not task.done()))


async def test_a_process_whose_session_ends_has_lost_its_duties(tmp_path: Path) -> None:
    """A process learns that its session has ended, and takes the duties that are free again."""
    async with process(tmp_path) as duties:
        lost = await take_all(duties)
        assert not any(event.is_set() for event in lost)
        assert [(1,)] == query_database(tmp_path, f"SELECT count(*) {DUTY_SESSIONS}")
        query_database(tmp_path, f"SELECT pg_terminate_backend(pid) {DUTY_SESSIONS}")
        for event in lost:
            await event.wait()
        assert not any(event.is_set() for event in await take_all(duties))


async def test_a_process_without_duties_keeps_its_session(tmp_path: Path) -> None:
    """A process that finds no free duty goes on in one session, as long as the server answers."""
    age = f"interval '{HOLD_SECONDS + DUTY_ROUND_SECONDS} s'"
    query = f"SELECT count(*) {SESSIONS} AND state_change - backend_start > {age}"
    async with process(tmp_path) as first:
        lost = await take_all(first)
        async with process(tmp_path):
            await asyncio.to_thread(until, lambda: [(2,)] == query_database(tmp_path, query))
            assert not any(event.is_set() for event in lost)


async def test_a_duty_has_no_second_doer_behind_a_cut_connection(
    network_postgres: PostgresServer,
) -> None:
    """A process that nothing comes through to has left its duties before another one has them."""
    with Relay(f"{HOST}:{network_postgres.port}") as relay:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            port = relay.address.rpartition(":")[2]
            address = f"postgresql://akin@{HOST}:{port}/postgres"
            first = AdvisoryDuties(complete_address(address))
            lost = await take_all(first)
            second = AdvisoryDuties(complete_address(network_postgres.address()))
            relay.cut()
            await take_all(second)
            assert all(event.is_set() for event in lost)
            await first.close()
            await second.close()


async def test_a_process_competes_again_after_a_cut_connection(
    network_postgres: PostgresServer,
) -> None:
    """Once the network is back, a process takes the duties that are free by a new connection."""
    with Relay(f"{HOST}:{network_postgres.port}") as relay:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            port = relay.address.rpartition(":")[2]
            duties = AdvisoryDuties(complete_address(f"postgresql://akin@{HOST}:{port}/postgres"))
            lost = await take_all(duties)
            relay.cut()
            for event in lost:
                await event.wait()
            relay.mend()
            assert not any(event.is_set() for event in await take_all(duties))
            await duties.close()


async def test_the_only_machine_has_all_duties_in_one_process() -> None:
    """Without other machines, the leading process has every duty, and the others have none."""
    assert not (await FixedDuties(leads=True).take(Duty.PURGE)).is_set()
    other = await started(FixedDuties(leads=False).take(Duty.PURGE))
    assert not other.done()
    await left(other)
