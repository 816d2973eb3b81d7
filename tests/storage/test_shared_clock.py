"""Replicas over one PostgreSQL database whose clocks differ from that of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.embedders import SPACE
from support.postgres import database_of
from support.stores import (
    GIVE_UP_SECONDS,
    all_items,
    default_generation,
    delete_item,
    indexed,
    opened,
)

from service.domain.generations import Generation
from service.storage.postgres.clock_comparison import ClockComparison
from service.storage.postgres.postgres_database import PostgresDatabase
from service.storage.stores import Stores

pytestmark = pytest.mark.postgres

HOUR_US = 3_600_000_000
DAY_SECONDS = 86_400
PAID = replace(SPACE, provider="openrouter")


@asynccontextmanager
async def replica(
    folder: Path, clock_ns: Callable[[], int]
) -> AsyncIterator[tuple[Stores, Generation]]:
    """A replica over the database of a folder, whose own clock may differ from the server's."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        stores = Stores.over(PostgresDatabase(database_of(folder), clock_ns))
        try:
            yield stores, await default_generation(stores, PAID)
        finally:
            await stores.database.close()


def ahead_ns() -> int:
    """A clock that is a day ahead."""
    return time.time_ns() + DAY_SECONDS * 1_000_000_000


async def test_a_clock_that_is_ahead_removes_nothing_early(tmp_path: Path) -> None:
    """Items, tombstones and vectors stay for as long as the server's clock says."""
    async with replica(tmp_path, time.time_ns) as (stores, catalog):
        expire_time_us = stores.database.now_us() + HOUR_US
        await stores.items.upsert_many(catalog, [indexed("a", "tea", expire_time_us)])
        await stores.items.upsert_many(catalog, [indexed("b", "rum")])
        await delete_item(stores, catalog, "b")
        async with replica(tmp_path, ahead_ns) as (ahead, _):
            rows = ahead.unused_rows
            last_sequence = ahead.database.commits.last_sequence
            now_us = ahead.database.now_us()
            assert 0 == (await ahead.items.delete_expired(10)).deleted_count
            assert 0 == await rows.remove_tombstones(catalog.catalog_id, last_sequence, HOUR_US)
            assert (0, False) == await rows.remove_unused_vectors(now_us, HOUR_US)
            assert 1 == await rows.remove_tombstones(catalog.catalog_id, last_sequence, 0)
            assert (1, True) == await rows.remove_unused_vectors(now_us, 0)
        assert ["a"] == [item.item.item_id for item in await all_items(stores, catalog)]


async def test_a_clock_that_is_behind_shortens_no_retention(tmp_path: Path) -> None:
    """What a replica noted whose clock is behind stays as long as what others noted."""
    behind, server = FakeClock(), FakeClock()
    server.advance(microseconds=2 * HOUR_US)
    async with opened(tmp_path, behind, server) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea"), indexed("b", "rum")])
        await stores.items.upsert_many(catalog, [indexed("a", "gin")])
        await delete_item(stores, catalog, "b")
        rows, sequence = stores.unused_rows, stores.database.commits.last_sequence
        behind.advance(microseconds=2 * HOUR_US)
        assert (0, False) == await rows.remove_unused_vectors(behind.now_us, HOUR_US)
        assert 0 == await rows.remove_tombstones(catalog.catalog_id, sequence, HOUR_US)
        for clock in (behind, server):
            clock.advance(microseconds=HOUR_US)
        assert (2, True) == await rows.remove_unused_vectors(behind.now_us, HOUR_US)
        assert 1 == await rows.remove_tombstones(catalog.catalog_id, sequence, HOUR_US)


async def test_items_are_deleted_when_the_server_says_so(tmp_path: Path) -> None:
    """An expired item is deleted by the server's clock, although the replica's is behind."""
    behind, server = FakeClock(), FakeClock()
    async with opened(tmp_path, behind, server) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea", server.now_us + HOUR_US)])
        server.advance(microseconds=HOUR_US)
        assert 1 == (await stores.items.delete_expired(10)).deleted_count


@pytest.mark.parametrize(("clock_ns", "count"), [(time.time_ns, 0), (ahead_ns, 1)])
async def test_a_difference_of_clocks_is_logged_once(
    tmp_path: Path, clock_ns: Callable[[], int], count: int
) -> None:
    """A replica whose clock differs from the server's says so once, and by how much."""
    with capture_logs() as lines:
        async with replica(tmp_path, clock_ns) as (stores, catalog):
            for name in "abc":
                await stores.items.upsert_many(catalog, [indexed(name, "tea")])
    differences = [line["seconds"] for line in lines if line["event"] == "clock_differs"]
    assert [DAY_SECONDS] * count == [round(seconds) for seconds in differences]


DIFFERENCES: dict[str, list[tuple[float, float]]] = {
    "no difference": [(0, 0)],
    "a small one": [(1, 0), (-1, 0)],
    "one that stays": [(5, 5), (5.5, 0), (5, 0)],
    "one that grows": [(5, 5), (7, 7)],
    "one that ends and returns": [(-5, -5), (0, 0), (-5, -5)],
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_difference_is_logged(name: str) -> None:
    """A difference of more than a second is logged when it is new."""
    comparison = ClockComparison()
    for ahead_seconds, logged_seconds in DIFFERENCES[name]:
        now_us = int(ahead_seconds * 1e6)
        with capture_logs() as lines:
            comparison.compare(now_us, 0, now_us)
        assert [logged_seconds] * bool(logged_seconds) == [line["seconds"] for line in lines]


def test_a_slow_answer_is_no_difference() -> None:
    """The server's time is between those of the question and the answer."""
    with capture_logs() as lines:
        ClockComparison().compare(0, 1_000_000, 60_000_000)
        ClockComparison().compare(0, 59_000_000, 60_000_000)
    assert [] == lines
