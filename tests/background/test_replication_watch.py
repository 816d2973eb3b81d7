from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from support.postgres import PostgresServer
from support.stores import GIVE_UP_SECONDS

from service.background.replication_watch import ReplicationWatch
from service.storage.postgres.postgres_database import PostgresDatabase

POLL_SECONDS = 0.01


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server with settings of its own."""
    server = PostgresServer({"fsync": "off"})
    yield server
    server.stop()


def configure(server: PostgresServer, setting: str, value: str) -> None:
    """Change a setting of a server."""
    server.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
    server.execute("SELECT pg_reload_conf()")


async def check_until(watch: ReplicationWatch, shown: list[bool], *, has_problem: bool) -> None:
    """Check until the sessions of the database have read its settings, and once more."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while not shown or shown[-1] is not has_problem:
            await watch.check()
            await asyncio.sleep(POLL_SECONDS)
        await watch.check()


async def test_each_change_of_the_replication_is_reported(server: PostgresServer) -> None:
    """A problem is logged once, also one that begins later, and so is its end."""
    database = PostgresDatabase(server.address(), time.time_ns)
    shown: list[bool] = []
    watch = ReplicationWatch(database, shown.append)
    try:
        with capture_logs() as lines:
            await check_until(watch, shown, has_problem=True)
            configure(server, "synchronous_standby_names", "ANY 1 (missing)")
            await check_until(watch, shown, has_problem=False)
            configure(server, "synchronous_commit", "remote_write")
            await check_until(watch, shown, has_problem=True)
    finally:
        await database.close()
    assert ["store_not_replicated", "store_replicated", "store_not_replicated"] == [
        line["event"] for line in lines
    ]
    assert "remote_write" in lines[-1]["problem"]
