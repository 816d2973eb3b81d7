"""Lists and draws of the items that match a filter, from the engine and the tail together."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.filters import random_attributes, random_filter
from support.gated_reads import ReadGate
from support.shared_indexes import (
    LOCAL_MODE_WARNINGS,
    ReplicaOptions,
    SharedReplica,
    open_replica,
)
from support.shared_reads import StoredItems, draw_vectors, draw_write, read_store, write_vectors
from support.stores import opened, without_vectors

from service.domain.filters import Condition, Exists, Filter
from service.domain.items import Item
from service.index.index_reader import MatchingIds
from service.index.shared.matching_ids import ITEMS_PER_PAGE
from service.storage.records import ItemWrite

pytestmark = LOCAL_MODE_WARNINGS

IDS = ["", "\x01", *(f"i{number:02}" for number in range(50)), "é", "z", "🙂"][1:]

# More than the engine lists all of.
MANY_ITEMS = ITEMS_PER_PAGE + 300


async def change_items(replica: SharedReplica, choices: random.Random) -> None:
    """Delete some items, and write others."""
    ids = choices.sample(IDS, 12)
    await replica.stores.items.delete_many(replica.generation, ids[:4])
    writes = [draw_write(choices, item_id) for item_id in ids[4:]]
    await replica.stores.items.upsert_many(replica.generation, writes)


async def read_stored(replica: SharedReplica) -> StoredItems:
    """Return the items of the store, once the replica has followed them."""
    await replica.follow()
    return await read_store(replica.stores, replica.generation, 0)


async def check_lists(replica: SharedReplica, stored: StoredItems, choices: random.Random) -> None:
    """Check lists for some random filters."""
    sequence = replica.index.sequence
    for _ in range(8):
        filter_ = random_filter(choices)
        after = choices.choice(("", "a", "i25", "i25x", "~", "\uffff", choices.choice(IDS)))
        limit = choices.choice((0, 1, 10, 10_000))
        matching = stored.list_matching(filter_)
        expected = [item_id for item_id in matching if item_id > after][:limit]
        listed = await replica.index.list_matching(filter_, after, limit)
        assert MatchingIds(expected, len(matching), sequence) == listed


async def check_draws(replica: SharedReplica, stored: StoredItems, choices: random.Random) -> None:
    """Check draws for some random filters."""
    for _ in range(8):
        filter_ = choices.choice((None, random_filter(choices)))
        limit = choices.choice((1, 10, 10_000))
        matching = {
            item_id for item_id in stored.list_matching(filter_) if stored.items[item_id].vectors
        }
        drawn = await replica.index.draw_matching(filter_, limit)
        assert drawn == await replica.index.draw_matching(filter_, limit)
        assert (len(matching), replica.index.sequence) == (drawn.total, drawn.sequence)
        assert min(limit, len(matching)) == len(drawn.item_ids) == len(set(drawn.item_ids))
        assert set(drawn.item_ids) <= matching


@pytest.mark.parametrize("seed", range(4))
async def test_all_matching_items_are_listed_and_drawn(tmp_path: Path, seed: int) -> None:
    """Whatever part of the items is in the engine, lists and draws are those of the store."""
    clock, choices = FakeClock(), random.Random(seed)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        writes = [draw_write(choices, item_id) for item_id in IDS]
        await stores.items.upsert_many(generation, writes)
        await replica.settle()
        for _ in range(3):
            stored = await read_stored(replica)
            await check_lists(replica, stored, choices)
            await check_draws(replica, stored, choices)
            await change_items(replica, choices)
            if choices.random() < 0.3:
                await replica.settle()


def draw_pending(choices: random.Random, number: int) -> ItemWrite:
    attributes = {**random_attributes(choices), "all": True}
    return ItemWrite(Item(f"i{number:04}", "text", attributes), without_vectors())


async def list_pages(
    replica: SharedReplica, filter_: Filter, size: int
) -> tuple[list[str], set[int]]:
    """Return the ids on all pages, and the totals that come with them."""
    ids: list[str] = []
    totals: set[int] = set()
    while True:
        page = await replica.index.list_matching(filter_, ids[-1] if ids else "", size)
        ids += page.item_ids
        totals.add(page.total)
        if len(page.item_ids) < size:
            return ids, totals


async def test_pages_of_many_items_are_complete(tmp_path: Path) -> None:
    """If many items match, the pages together have each of them once, in order."""
    clock, choices = FakeClock(), random.Random(1)
    everything = Filter(all=(Condition("all", Exists(present=True)),))
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        writes = [draw_pending(choices, number) for number in range(MANY_ITEMS)]
        await stores.items.upsert_many(generation, writes)
        await replica.settle()
        deleted = choices.sample([write.item.item_id for write in writes], 40)
        await stores.items.delete_many(generation, deleted)
        later = [draw_pending(choices, 5_000 + number) for number in range(40)]
        await stores.items.upsert_many(generation, later)
        stored = await read_stored(replica)
        matching = stored.list_matching(everything)
        for size in (700, 5_000):
            ids, totals = await list_pages(replica, everything, size)
            assert matching == ids
            assert {len(matching)} == totals


async def list_while_held(
    replica: SharedReplica, gate: ReadGate, writes: Sequence[ItemWrite]
) -> MatchingIds:
    """Return a list whose count is held until the engine has further items."""
    gate.close()
    listing = asyncio.create_task(replica.index.list_matching(Filter(), "", 1_000))
    await gate.has_arrived.wait()
    await replica.stores.items.upsert_many(replica.generation, writes)
    await replica.write()
    gate.open()
    return await listing


async def test_items_that_come_in_the_meantime_replace_no_others(tmp_path: Path) -> None:
    """Items that come into the engine during a list take the place of none that were there."""
    clock, gate = FakeClock(), ReadGate()
    options = ReplicaOptions(wrap_reads=gate.wrap)
    first = [write_vectors(f"a{number}", draw_vectors(1, 1, number)) for number in range(10)]
    later = [write_vectors(f"b{number}", draw_vectors(1, 2, number)) for number in range(30)]
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock, options) as replica,
    ):
        await stores.items.upsert_many(generation, first)
        await replica.settle()
        listed = await list_while_held(replica, gate, later)
        assert {write.item.item_id for write in first} <= set(listed.item_ids)
        assert sorted(listed.item_ids) == listed.item_ids


async def test_expired_items_neither_match_nor_count(tmp_path: Path) -> None:
    """They are hidden at once, although the engine has them until their rows are deleted."""
    clock = FakeClock()
    second_us = 1_000_000
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        writes = [
            write_vectors(item_id, draw_vectors(1, 1), {}, clock.now_us + seconds * second_us)
            for item_id, seconds in (("a", 1), ("b", 2), ("c", 3))
        ]
        await stores.items.upsert_many(
            generation, [*writes, write_vectors("d", draw_vectors(1, 1))]
        )
        await replica.settle()
        for remaining in ("bcd", "cd", "d"):
            clock.advance(seconds=1)
            sequence = replica.index.sequence
            listed = await replica.index.list_matching(Filter(), "", 10)
            assert MatchingIds(list(remaining), len(remaining), sequence) == listed
            drawn = await replica.index.draw_matching(None, 10)
            assert (set(remaining), len(remaining)) == (set(drawn.item_ids), drawn.total)
