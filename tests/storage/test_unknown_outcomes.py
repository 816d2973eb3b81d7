"""Commits over PostgreSQL whose outcome is not known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from support.embedders import SPACE
from support.postgres import PostgresServer
from support.stores import GIVE_UP_SECONDS, default_generation, indexed
from support.waiting import until

from service import errors
from service.domain.generations import Generation
from service.domain.items import StoredItem
from service.storage.postgres.postgres_database import PostgresDatabase
from service.storage.stores import Stores

pytestmark = pytest.mark.postgres

WAITING_COMMITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server whose commits can wait for a standby."""
    server = PostgresServer({"fsync": "off"})
    yield server
    server.stop()


async def start_waiting_write(
    stores: Stores, generation: Generation, server: PostgresServer
) -> asyncio.Task[list[StoredItem]]:
    """Write until a commit waits for a standby: the server's processes load settings one by one."""
    while True:
        writing = asyncio.create_task(stores.items.upsert_many(generation, [indexed("a", "tea")]))

        def ends_or_waits(writing: asyncio.Task[list[StoredItem]] = writing) -> bool:
            return writing.done() or [(1,)] == server.execute(WAITING_COMMITS)

        await asyncio.to_thread(until, ends_or_waits)
        if not writing.done():
            return writing


async def test_an_error_tells_that_a_write_may_be_stored(server: PostgresServer) -> None:
    """The error says so if the server ended during the commit, and not if it is away before."""
    stores = Stores.over(PostgresDatabase(server.address(), time.time_ns))
    try:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            generation = await default_generation(stores, SPACE)
            server.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
            server.execute("SELECT pg_reload_conf()")
            writing = await start_waiting_write(stores, generation, server)
            server.kill()
            with pytest.raises(errors.StoreUnavailable) as unknown:
                await writing
            with pytest.raises(errors.StoreUnavailable) as known:
                await stores.items.upsert_many(generation, [indexed("b", "tea")])
    finally:
        await stores.database.close()
    assert (True, False) == (unknown.value.may_be_stored, known.value.may_be_stored)
