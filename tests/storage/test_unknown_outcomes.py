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


async def test_an_error_tells_that_a_write_may_be_stored(server: PostgresServer) -> None:
    """The error says so if the server ended during the commit, and not if it is away before."""
    stores = Stores.over(PostgresDatabase(server.address(), time.time_ns))
    try:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            generation = await default_generation(stores, SPACE)
            server.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
            server.execute("SELECT pg_reload_conf()")
            writing = asyncio.create_task(
                stores.items.upsert_many(generation, [indexed("a", "tea")])
            )
            await asyncio.to_thread(until, lambda: [(1,)] == server.execute(WAITING_COMMITS))
            server.kill()
            with pytest.raises(errors.StoreUnavailable) as unknown:
                await writing
            with pytest.raises(errors.StoreUnavailable) as known:
                await stores.items.upsert_many(generation, [indexed("b", "tea")])
    finally:
        await stores.database.close()
    assert (True, False) == (unknown.value.may_be_stored, known.value.may_be_stored)
