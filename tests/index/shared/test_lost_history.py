"""A shared index over a store that has lost its last commits, as after a failover."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.lost_commits import lose_commits
from support.postgres import query_database
from support.shared_indexes import (
    LOCAL_MODE_WARNINGS,
    ReplicaOptions,
    SharedReplica,
    open_replica,
)
from support.shared_reads import draw_vectors, read_items, read_store, write_vectors
from support.stores import CHOICE, opened

from service import errors
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.storage.stores import Stores

pytestmark = [*LOCAL_MODE_WARNINGS, pytest.mark.postgres]

LOST = [f"lost{number}" for number in range(9)]


@pytest.fixture(autouse=True)
def _postgres() -> Iterator[None]:
    CHOICE.uses_postgres = True
    yield
    CHOICE.uses_postgres = False


async def put(replica: SharedReplica, *item_ids: str) -> int:
    """Store items, and return the sequence number of the last one."""
    for item_id in item_ids:
        write = write_vectors(item_id, draw_vectors(1, *item_id.encode()))
        (stored,) = await replica.stores.items.upsert_many(replica.generation, [write])
    return stored.sequence


async def lose(folder: Path, record: SharedIndexRecord) -> None:
    """Take the store back to the time of a record, with what it says of the collection."""
    await asyncio.to_thread(lose_commits, folder, record.reached)
    token = record.anchor.token
    await asyncio.to_thread(
        query_database,
        folder,
        f"UPDATE shared_indexes SET reached = {record.reached}, "  # noqa: S608
        f"anchor_sequence = {record.anchor.sequence}, anchor_token = {token}",
    )


@asynccontextmanager
async def opened_after_loss(folder: Path) -> AsyncIterator[tuple[Stores, SharedReplica]]:
    """Yield a replica whose engine has items that the store has lost; it has an item `new`."""
    clock, options = FakeClock(), ReplicaOptions(ready_seconds=0.0)
    async with (
        opened(folder, clock) as (stores, generation),
        open_replica(stores, generation, clock, options) as replica,
    ):
        await put(replica, "kept")
        await replica.settle()
        record = await replica.get_record()
        await put(replica, *LOST)
        await replica.settle()
        assert {"kept", *LOST} == (await read_items(replica.index, ["kept", *LOST])).keys()
        await lose(folder, record)
        await replica.index.wait_for(await put(replica, "new"))
        yield stores, replica


async def check_items(replica: SharedReplica, *more_ids: str) -> None:
    """Check that reads return what the store has."""
    stored = await read_store(replica.stores, replica.generation, 0)
    ids = ["kept", "new", *more_ids]
    assert sorted(ids) == sorted(stored.items)
    assert stored.vectors == await read_items(replica.index, [*ids, *LOST])


async def test_a_collection_with_lost_writes_is_built_again(tmp_path: Path) -> None:
    """After the store has lost commits, the next version of the index has none of them."""
    async with opened_after_loss(tmp_path) as (_, replica):
        record = await replica.write_until(
            lambda record: record.version == 2 and record.state is SharedIndexState.READY
        )
        await replica.look()
        await check_items(replica)
        assert 2 == await replica.open_reads(record).count(None, searchable=False)


async def test_later_writes_are_read_after_a_loss(tmp_path: Path) -> None:
    """Writes with the numbers of lost ones are read before the engine has them."""
    async with opened_after_loss(tmp_path) as (_, replica):
        await replica.write()
        await replica.look()
        for item_id in ("later0", "later1"):
            await replica.index.wait_for(await put(replica, item_id))
            await replica.look()
        await check_items(replica, "later0", "later1")


async def test_lost_writes_are_not_read(tmp_path: Path) -> None:
    """Until the index is built again, reads fail rather than return what the store has lost."""
    async with opened_after_loss(tmp_path) as (_, replica):
        await replica.look()
        with pytest.raises(errors.IndexUnavailable):
            await read_items(replica.index, ["kept", *LOST])
