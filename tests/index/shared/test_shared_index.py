"""Reads of a shared index see every write that the process knows of, wherever its item is."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.filters import random_filter
from support.shared_indexes import (
    LOCAL_MODE_WARNINGS,
    ReadGate,
    ReplicaOptions,
    SharedReplica,
    open_replica,
)
from support.shared_reads import (
    assert_equal_hits,
    draw_vectors,
    draw_write,
    find_nearest,
    find_ranked,
    read_items,
    read_store,
    write_vectors,
)
from support.stores import delete_expired, opened, pending
from support.tasks import left, started

from service import errors
from service.domain.filters import Filter
from service.domain.generations import Generation
from service.domain.items import BEGINNING
from service.index.read_requests import Restriction
from service.storage.stores import Stores

pytestmark = LOCAL_MODE_WARNINGS

IDS = [f"i{number:02}" for number in range(40)]


async def change_items(
    stores: Stores, generation: Generation, clock: FakeClock, choices: random.Random
) -> None:
    """Make a random change of some items."""
    ids = choices.sample(IDS, choices.choice((1, 2, 8)))
    match choices.randrange(6):
        case 0:
            await stores.items.delete_many(generation, ids)
        case 1:
            clock.advance(seconds=1)
            await delete_expired(stores, choices.randrange(4))
        case 2:
            expire_time_us = clock.now_us + choices.choice((1, 2_000_000))
            writes = [draw_write(choices, item_id, expire_time_us) for item_id in ids]
            await stores.items.upsert_many(generation, writes)
        case _:
            writes = [draw_write(choices, item_id) for item_id in ids]
            await stores.items.upsert_many(generation, writes)


async def check_reads(replica: SharedReplica, clock: FakeClock, choices: random.Random) -> None:
    """Check that random reads return what the store has."""
    sequence = await replica.follow()
    index = replica.index
    stored = await read_store(replica.stores, replica.generation, clock.now_us)
    assert stored.vectors == await read_items(index, [*IDS, "unknown"])
    filter_ = choices.choice((None, random_filter(choices)))
    restriction = Restriction(filter_, choices.sample(IDS, choices.choice((0, 0, 5))))
    queries = draw_vectors(choices.choice((1, 1, 4)), choices.randrange(2**32))
    limit = choices.choice((1, 5, 40))
    nearest = await find_nearest(index, queries, limit, restriction, exact=choices.random() < 0.5)
    assert_equal_hits(stored.find_nearest(queries, limit, restriction), nearest)
    ranked_ids = choices.sample([*IDS, "unknown"], 30)
    searchable = set(stored.list_searchable(restriction))
    expected = [item_id for item_id in ranked_ids if item_id in searchable][:limit]
    assert expected == await find_ranked(index, ranked_ids, limit, restriction)
    assert await index.read(lambda item_index: item_index.sequence, queries=1) >= sequence


@pytest.mark.parametrize("seed", range(5))
async def test_reads_see_writes_that_the_engine_lacks(tmp_path: Path, seed: int) -> None:
    """While nobody writes to the engine, reads still return every item as it is now."""
    clock, choices = FakeClock(), random.Random(seed)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        writes = [draw_write(choices, item_id) for item_id in IDS[:30]]
        await stores.items.upsert_many(generation, writes)
        await replica.settle()
        assert 0 == replica.follower.tail.change_count
        await check_reads(replica, clock, choices)
        for _ in range(15):
            await change_items(stores, generation, clock, choices)
            await check_reads(replica, clock, choices)


@pytest.mark.parametrize("seed", range(5))
async def test_reads_see_writes_wherever_the_engine_is(tmp_path: Path, seed: int) -> None:
    """However far the writer and the watch have come, reads return every item as it is now."""
    clock, choices = FakeClock(), random.Random(seed)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await replica.settle()
        for _ in range(25):
            await change_items(stores, generation, clock, choices)
            if choices.random() < 0.4:
                await replica.write()
            if choices.random() < 0.4:
                await replica.look()
            await check_reads(replica, clock, choices)


@pytest.mark.parametrize("query_count", [1, 40])
@pytest.mark.parametrize("limit", [1, 5])
async def test_changed_items_take_no_places(tmp_path: Path, limit: int, query_count: int) -> None:
    """If all nearest items of the engine have changed since, the next ones are returned."""
    clock = FakeClock()
    queries = draw_vectors(query_count, 1)
    near = [f"near{number}" for number in range(24)]
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        writes = [write_vectors(item_id, queries[:1]) for item_id in near]
        writes += [write_vectors(item_id, draw_vectors(1, 2, n)) for n, item_id in enumerate(IDS)]
        await stores.items.upsert_many(generation, writes)
        await replica.settle()
        await stores.items.delete_many(generation, near[:8])
        moved = [write_vectors(item_id, -queries[:1]) for item_id in near[8:16]]
        waiting = [pending(item_id, "text") for item_id in near[16:]]
        await stores.items.upsert_many(generation, [*moved, *waiting])
        await replica.follow()
        stored = await read_store(stores, generation, clock.now_us)
        nearest = await find_nearest(replica.index, queries, limit)
        assert_equal_hits(stored.find_nearest(queries, limit), nearest)
        assert len(near) == replica.follower.tail.change_count


async def test_an_item_with_many_vectors_takes_one_place(tmp_path: Path) -> None:
    """If the nearest vectors of the engine are all of one item, others are returned, too."""
    clock = FakeClock()
    query = draw_vectors(1, 1)
    vectors = query + 0.01 * draw_vectors(60, 2)
    vectors /= (vectors**2).sum(axis=1, keepdims=True) ** 0.5
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        others = [write_vectors(item_id, draw_vectors(1, 3, n)) for n, item_id in enumerate(IDS)]
        await stores.items.upsert_many(generation, [write_vectors("long", vectors), *others])
        await replica.settle()
        stored = await read_store(stores, generation, clock.now_us)
        for limit in (2, 10):
            nearest = await find_nearest(replica.index, query, limit)
            assert_equal_hits(stored.find_nearest(query, limit), nearest)


async def test_a_read_can_wait_for_a_write(tmp_path: Path) -> None:
    """After waiting for the sequence number of a write, the sequence of reads is not below it."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await replica.settle()
        for number in range(5):
            write = write_vectors("a", draw_vectors(1, number))
            (stored,) = await stores.items.upsert_many(generation, [write])
            await replica.index.wait_for(stored.sequence)
            assert replica.index.sequence >= stored.sequence
            vectors = {"a": [write.vectors.chunks[0].vector.tobytes()]}
            assert vectors == await read_items(replica.index, ["a"])
        assert 5 == replica.index.change_count
        await replica.index.wait_for_all()


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
