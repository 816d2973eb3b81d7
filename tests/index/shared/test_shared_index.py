"""Reads of a shared index see every write that the process knows of, wherever its item is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.filters import random_filter
from support.shared_indexes import (
    LOCAL_MODE_WARNINGS,
    SharedReplica,
    open_replica,
    open_replicas,
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

from service.domain.generations import Generation
from service.index.read_requests import NearestRequest, Restriction, plan_nearest
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
    """However far the writer and the watch have come, all processes read items as they are now."""
    clock, choices = FakeClock(), random.Random(seed)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replicas(stores, generation, clock, 2) as replicas,
    ):
        for replica in replicas:
            await replica.settle()
        for _ in range(20):
            await change_items(stores, generation, clock, choices)
            if choices.random() < 0.4:
                await choices.choice(replicas).write()
            for replica in replicas:
                if choices.random() < 0.4:
                    await replica.look()
            await check_reads(choices.choice(replicas), clock, choices)


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


@pytest.mark.parametrize("deleted_count", [10, 15, 24])
async def test_changed_items_are_not_most_of_the_selected_ones(
    tmp_path: Path, deleted_count: int
) -> None:
    """If most of the items that are selected for several queries were deleted, others are."""
    clock = FakeClock()
    queries = draw_vectors(2, 1)
    near = [f"near{number}" for number in range(24)]
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        writes = [write_vectors(item_id, queries[n % 2 :][:1]) for n, item_id in enumerate(near)]
        writes += [write_vectors(item_id, draw_vectors(1, 2, n)) for n, item_id in enumerate(IDS)]
        await stores.items.upsert_many(generation, writes)
        await replica.settle()
        await stores.items.delete_many(generation, near[:deleted_count])
        await replica.follow()
        request = NearestRequest(queries, 8, max_items=16)
        count = await replica.index.read(len, queries=2, plan=plan_nearest(request))
        assert count >= request.limit


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


@pytest.mark.parametrize("is_changed", [True, False])
async def test_no_answer_is_short_if_more_points_are_nearer_than_a_request_brings(
    tmp_path: Path, *, is_changed: bool
) -> None:
    """Further searches leave out items that have changed since, and those with many vectors."""
    clock = FakeClock()
    query = draw_vectors(1, 1)
    vectors = query + 0.01 * draw_vectors(60, 2)
    vectors /= (vectors**2).sum(axis=1, keepdims=True) ** 0.5
    near = [write_vectors(f"near{place}", vectors[place : place + 20]) for place in (0, 20, 40)]
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        others = [write_vectors(item_id, draw_vectors(1, 3, n)) for n, item_id in enumerate(IDS)]
        await stores.items.upsert_many(generation, [*near, *others])
        await replica.settle()
        if is_changed:
            await stores.items.delete_many(generation, [write.item.item_id for write in near])
            await replica.follow()
        stored = await read_store(stores, generation, clock.now_us)
        request = NearestRequest(query, 10, max_items=16)
        items = await replica.index.read(
            lambda item_index: {*item_index.get_ids(item_index.vectors.keys().tolist())},
            queries=1,
            plan=plan_nearest(request),
        )
    assert {item_id for item_id, _ in stored.find_nearest(query, 10)} <= items


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
