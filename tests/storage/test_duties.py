"""Duties of several processes over one PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.postgres import database_of, query_database
from support.stores import GIVE_UP_SECONDS
from support.tasks import left, started

from service.storage.duties import Duty, FixedDuties
from service.storage.postgres.advisory_duties import AdvisoryDuties
from service.storage.postgres.postgres_connections import complete_address

pytestmark = pytest.mark.postgres

DUTY_SESSIONS = """
    FROM pg_stat_activity WHERE datname = current_database() AND pid IN
        (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2)
"""


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


async def test_the_only_machine_has_all_duties_in_one_process() -> None:
    """Without other machines, the leading process has every duty, and the others have none."""
    assert not (await FixedDuties(leads=True).take(Duty.PURGE)).is_set()
    other = await started(FixedDuties(leads=False).take(Duty.PURGE))
    assert not other.done()
    await left(other)
