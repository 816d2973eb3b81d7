"""Collections that no catalog uses are dropped once no process uses them either."""

import math
from pathlib import Path

from support.clock import FakeClock
from support.shared_indexes import LOCAL_MODE_WARNINGS, open_replica
from support.stores import opened

from service.index.shared.unused_collections import UNUSED_SECONDS, UnusedCollections

pytestmark = LOCAL_MODE_WARNINGS


async def test_a_collection_is_dropped_some_time_after_its_last_use(tmp_path: Path) -> None:
    """A process that has not changed to another index yet keeps it, however long this takes."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),  # with an index in memory
        open_replica(stores, generation, clock) as replica,
    ):
        await replica.settle()
        unused = UnusedCollections(stores.shared_indexes, replica.open_writes)
        for _ in range(3):
            await unused.run_round(math.inf)
            assert (await replica.get_record()).dropped_us is not None
            await replica.look()
            assert (await replica.get_record()).dropped_us is None
        await unused.run_round(math.inf)
        dropped_us = (await replica.get_record()).dropped_us
        assert dropped_us is not None
        await unused.run_round(dropped_us / 1e6 + UNUSED_SECONDS - 1)
        assert 1 == len(await replica.list_collections())
        await unused.run_round(dropped_us / 1e6 + UNUSED_SECONDS)
        assert [] == await replica.list_collections()
        assert await stores.shared_indexes.get(generation) is None
