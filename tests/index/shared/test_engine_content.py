"""The engine has exactly the points of the items in the store, whatever its writer went through."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.gated_reads import StoppingClient
from support.shared_indexes import (
    LOCAL_MODE_WARNINGS,
    ReplicaOptions,
    SharedReplica,
    open_replica,
)
from support.shared_reads import draw_write, read_store
from support.stores import opened
from support.tasks import left

from service.index.shared.points import MARK_ID, TYPE_FIELD, PointType, list_point_ids

pytestmark = LOCAL_MODE_WARNINGS

IDS = [f"i{number}" for number in range(25)]

# Writes of a batch: of the mark, of points, and the deletion of further vectors.
MAX_WRITES = 6


@dataclass(frozen=True, slots=True)
class Writing:
    """Random writes to a store and to its engine."""

    replica: SharedReplica
    choices: random.Random

    async def change_items(self) -> None:
        """Write some items, delete others, and purge some of the tombstones."""
        items, generation = self.replica.stores.items, self.replica.generation
        for _ in range(self.choices.randrange(1, 4)):
            ids = self.choices.sample(IDS, 6)
            await items.upsert_many(generation, [draw_write(self.choices, id_) for id_ in ids])
            await items.delete_many(generation, self.choices.sample(IDS, 3))
        if self.choices.random() < 0.3:
            up_to = self.choices.randrange(await items.refresh() + 1)
            rows = self.replica.stores.unused_rows
            await rows.remove_tombstones(generation.catalog_id, up_to)

    async def stop_writer(self) -> None:
        """Let a writer run until it ends at one of its writes, or has written everything."""
        client = self.replica.client
        assert isinstance(client, StoppingClient)
        client.has_stopped.clear()
        client.remaining_writes = self.choices.randrange(MAX_WRITES)
        tasks = [
            asyncio.create_task(self.replica.write()),
            asyncio.create_task(client.has_stopped.wait()),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await left(*tasks)
        client.remaining_writes = None

    async def check_engine(self) -> None:
        """Bring the engine up to date, and check its points."""
        record = await self.replica.write()
        name = f"akin-{self.replica.stores.database.store_id}-1-{record.version}"
        assert [name] == await self.replica.list_collections()
        points, _ = await self.replica.client.scroll(name, limit=10_000)
        present = {
            str(point.id)
            for point in points
            if str(point.id) != MARK_ID and (point.payload or {})[TYPE_FIELD] != PointType.DELETED
        }
        stored = await read_store(self.replica.stores, self.replica.generation, 0)
        changes = list(stored.items.values())
        assert {id_ for change in changes for id_ in list_point_ids(change)} == present
        fetched = await self.replica.open_reads(record).fetch(IDS)
        assert sorted(changes, key=repr) == sorted(fetched, key=repr)


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_the_engine_has_the_points_of_the_store(
    tmp_path: Path, seed: int, *, stops: bool
) -> None:
    """After any writes, purges and ends of writers, no point is missing and none is left over."""
    clock, options = FakeClock(), ReplicaOptions(client_class=StoppingClient)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock, options) as replica,
    ):
        writing = Writing(replica, random.Random(seed))
        for _ in range(10):
            await writing.change_items()
            if stops:
                await writing.stop_writer()
                await writing.change_items()
            await writing.check_engine()
