"""Reads of a shared index: every write that the process knows of, wherever its item is."""

from __future__ import annotations

from pathlib import Path

from support.clock import FakeClock
from support.shared_indexes import LOCAL_MODE_WARNINGS, open_replica
from support.stores import delete_item, indexed, opened, pending
from service.index.read_requests import plan_items
pytestmark = LOCAL_MODE_WARNINGS


async def test_smoke(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", "tea"), indexed("b", "rum")])
        async with open_replica(stores, generation, clock) as replica:
            await replica.settle()
            print(await replica.get_record(), replica.follower.tail.change_count, replica.follower.tail.start)
            await stores.items.upsert_many(generation, [indexed("a", "gin"), indexed("c", "rum"), pending("d", "x")])
            await replica.follow()
            print(await replica.index.read(lambda i: list(i._keys), 1, plan=plan_items(["a","b","c","d"])))
            await replica.settle()
            print(await replica.get_record(), replica.follower.tail.change_count, replica.follower.tail.start)
