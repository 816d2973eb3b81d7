"""Reads that run while the engine, the tail or the build of the index move on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.gated_reads import ReadGate
from support.shared_indexes import (
    LOCAL_MODE_WARNINGS,
    ReplicaOptions,
    SharedReplica,
    open_replica,
)
from support.shared_reads import (
    draw_vectors,
    find_nearest,
    read_items,
    read_store,
    write_vectors,
)
from support.stores import opened
from support.tasks import left, started

from service import errors
from service.domain.filters import Filter
from service.domain.items import BEGINNING

pytestmark = LOCAL_MODE_WARNINGS

IDS = [f"i{number:02}" for number in range(40)]


async def test_a_running_read_keeps_what_it_may_have_missed(tmp_path: Path) -> None:
    """A read still returns an item that comes into the engine after the read has asked it."""
    clock, gate = FakeClock(), ReadGate()
    query = draw_vectors(1, 1)
    options = ReplicaOptions(wrap_reads=gate.wrap)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock, options) as replica,
    ):
        await stores.items.upsert_many(generation, [write_vectors("far", -query)])
        await replica.settle()
        await stores.items.upsert_many(generation, [write_vectors("near", query)])
        await replica.follow()
        gate.close()
        reading = asyncio.create_task(find_nearest(replica.index, query, 1))
        await gate.has_arrived.wait()
        await replica.write()
        await replica.look()
        assert 1 == replica.follower.tail.change_count
        gate.open()
        assert ["near"] == [item_id for item_id, _ in await reading]
        await replica.look()
        assert 0 == replica.follower.tail.change_count
        assert ["near"] == [item_id for item_id, _ in await find_nearest(replica.index, query, 1)]


async def test_a_running_read_survives_an_overflow(tmp_path: Path) -> None:
    """If the tail drops too many changes during a read, the read still returns all of them."""
    clock, gate = FakeClock(), ReadGate()
    query = draw_vectors(1, 1)
    options = ReplicaOptions(wrap_reads=gate.wrap, max_changes=5)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock, options) as replica,
    ):
        await replica.settle()
        await stores.items.upsert_many(generation, [write_vectors("near", query)])
        await replica.follow()
        gate.close()
        reading = asyncio.create_task(find_nearest(replica.index, query, 1))
        await gate.has_arrived.wait()
        writes = [write_vectors(item_id, -query) for item_id in IDS[:6]]
        await stores.items.upsert_many(generation, writes)
        await replica.follow()
        assert 0 == replica.follower.tail.change_count
        gate.open()
        await replica.settle()
        assert ["near"] == [item_id for item_id, _ in await reading]


async def test_reads_need_the_engine_after_an_overflow(tmp_path: Path) -> None:
    """After the tail has dropped changes, reads wait until the engine has them."""
    clock = FakeClock()
    options = ReplicaOptions(max_changes=5)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock, options) as replica,
    ):
        await replica.settle()
        writes = [write_vectors(item_id, draw_vectors(1, 1, n)) for n, item_id in enumerate(IDS)]
        await stores.items.upsert_many(generation, writes)
        await replica.follow()
        reading = await started(read_items(replica.index, IDS))
        assert not reading.done()
        await replica.write()
        await replica.look()
        stored = await read_store(stores, generation, clock.now_us)
        assert stored.vectors == await reading


async def test_reads_fail_while_the_index_is_built(tmp_path: Path) -> None:
    """Reads of an index without all writes fail with the progress of its build, as far as known."""
    clock = FakeClock()
    options = ReplicaOptions(ready_seconds=0.0)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock, options) as replica,
    ):
        await check_unavailable(replica, "the index is being built$")
        await stores.items.upsert_many(generation, [write_vectors("a", draw_vectors(1, 1))] * 8)
        record = await replica.records.start_build(generation, 8)
        for reached, message in ((0, "0% done"), (2, "25% done"), (7, "88% done")):
            assert await replica.records.note_progress(record, reached, BEGINNING, 0)
            await replica.look()
            await check_unavailable(replica, message)
        await replica.open_writes(record).create()
        assert await replica.records.note_progress(record, 8, BEGINNING, 1)
        await replica.look()
        assert {} == await read_items(replica.index, [])


async def check_unavailable(replica: SharedReplica, message: str) -> None:
    """Check that each kind of read fails with a message."""
    index = replica.index
    reads = (
        index.read(len, queries=1),
        index.read_in_worker(len),
        index.list_matching(Filter(), "", 1),
        index.draw_matching(None, 1),
    )
    for read in reads:
        with pytest.raises(errors.IndexUnavailable, match=message):
            await read


async def test_reads_wait_for_an_index_that_is_ready_soon(tmp_path: Path) -> None:
    """A read that comes before the index is ready is answered once it is."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, [write_vectors("a", draw_vectors(1, 1))])
        reading = await started(read_items(replica.index, ["a"]))
        await replica.write()
        assert not reading.done()
        await replica.look()
        assert {"a"} == (await reading).keys()


async def test_a_watch_looks_by_itself(tmp_path: Path) -> None:
    """While the watch runs, reads find the index once it is ready, and the tail is trimmed."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        watching = asyncio.create_task(replica.watch.run())
        await stores.items.upsert_many(generation, [write_vectors("a", draw_vectors(1, 1))])
        await replica.write()
        assert {"a"} == (await read_items(replica.index, ["a"])).keys()
        assert 0 == replica.follower.tail.change_count
        await left(watching)
