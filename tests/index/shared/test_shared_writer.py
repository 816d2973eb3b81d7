"""The writer of a shared index: builds, goes on after restarts, and builds again after losses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.observed_records import ObservedRecords
from support.shared_indexes import LOCAL_MODE_WARNINGS, SharedReplica, open_replica
from support.shared_reads import draw_vectors, read_items, read_store, write_vectors
from support.stores import delete_item, opened, pending, upsert_user
from support.tasks import left

from service import errors
from service.domain.items import Anchor
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.domain.users import User
from service.index.shared.engine_collection import CollectionMark
from service.index.shared.points import ID_FIELD, SEQUENCE_FIELD
from service.index.shared.qdrant_writes import QdrantWrites
from service.index.shared.shared_writer import (
    CHANGES_PER_BATCH,
    LOSS_CHECKS,
    OpenedCollection,
    SharedIndexWriter,
)
from service.storage.records import ItemWrite
from service.storage.shared_indexes import SharedIndexStore

pytestmark = LOCAL_MODE_WARNINGS

READY = SharedIndexState.READY


def draw_writes(*item_ids: str) -> list[ItemWrite]:
    """Return items to store with a vector each."""
    return [
        write_vectors(item_id, draw_vectors(1, *item_id.encode()), {"id": item_id})
        for item_id in item_ids
    ]


async def check_items(replica: SharedReplica) -> None:
    """Check that reads return what the store has."""
    await replica.follow()
    await replica.look()
    stored = await read_store(replica.stores, replica.generation, 0)
    ids = [*stored.items, "a", "b", "lost0"]
    assert stored.vectors == await read_items(replica.index, ids)
    assert len(stored.items) == (await replica.index.draw_matching(None, 100)).total


def is_rebuilt(record: SharedIndexRecord) -> bool:
    """Return whether the second version of an index is ready."""
    return record.version == 2 and record.state is READY


async def read_points(replica: SharedReplica) -> dict[str, dict[str, Any]]:
    """Return the payloads of the items' points in the only collection, by item id."""
    (name,) = await replica.list_collections()
    points, _ = await replica.client.scroll(name, limit=10_000)
    return {
        point.payload[ID_FIELD]: point.payload
        for point in points
        if point.payload and ID_FIELD in point.payload
    }


async def test_an_empty_catalog_is_ready_at_once(tmp_path: Path) -> None:
    """The index of a catalog without items is ready, too, and has statistics."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        record = await replica.write()
        assert (1, 0, 0) == (record.version, record.reached, record.item_count)
        assert [1] == replica.records.statistics_versions
        await replica.look()
        assert {} == await read_items(replica.index, ["a"])


async def test_an_index_is_ready_with_all_items_and_statistics(tmp_path: Path) -> None:
    """A build takes several batches, and is not ready before it has all items and statistics."""
    clock = FakeClock()
    count = CHANGES_PER_BATCH + 5
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        items = [pending(f"p{number}", "text") for number in range(count)]
        await stores.items.upsert_many(generation, [*items, *draw_writes("a", "b")])
        building = await replica.write_until(lambda record: record.reached > 0)
        assert (SharedIndexState.BUILDING, CHANGES_PER_BATCH) == (building.state, building.reached)
        assert [] == replica.records.statistics_versions
        ready = await replica.write_until(lambda record: record.state is READY)
        assert [1] == replica.records.statistics_versions
        assert (1, count + 2, 2) == (ready.version, ready.reached, ready.item_count)
        assert count + 2 == await replica.open_reads(ready).count(None, searchable=False)


async def test_a_writer_says_how_far_it_is(tmp_path: Path) -> None:
    """A writer has settled no write before the index is ready, and then those that it has."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        (stored,) = await stores.items.upsert_many(generation, draw_writes("a"))
        writer = replica.create_writer()
        assert (-1, 0) == (writer.settled_sequence, writer.position.applied)
        writing = asyncio.create_task(writer.run())
        await replica.records.wait_until(generation, lambda record: record.state is READY)
        # The first write is settled before the writer reads the next one.
        await stores.items.upsert_many(generation, draw_writes("b"))
        await replica.records.wait_until(generation, lambda record: record.reached == 2)
        await left(writing)
        assert stored.sequence <= writer.settled_sequence == writer.position.applied


class SettledRecords(ObservedRecords):
    """Records that keep what a writer says of itself whenever it notes its progress."""

    writer: SharedIndexWriter | None = None

    def __init__(self, records: SharedIndexStore) -> None:
        super().__init__(records)
        self.settled_sequences: list[int] = []

    async def note_progress(
        self, record: SharedIndexRecord, reached: int, anchor: Anchor, item_count: int
    ) -> bool:
        """Note what an index has."""
        assert self.writer is not None
        self.settled_sequences.append(self.writer.settled_sequence)
        return await super().note_progress(record, reached, anchor, item_count)


async def test_a_collection_that_is_far_behind_is_not_settled(tmp_path: Path) -> None:
    """A catalog that changes to it would have to wait for it."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes("a"))
        await replica.write()
        ids = [f"i{number}" for number in range(2 * CHANGES_PER_BATCH + 1)]
        await stores.items.upsert_many(generation, [pending(item_id, "text") for item_id in ids])
        last = await stores.items.refresh()
        records = SettledRecords(stores.shared_indexes)
        record = await replica.get_record()
        collection = OpenedCollection(replica.open_reads(record), replica.open_writes(record))
        records.writer = SharedIndexWriter(stores.items, records, generation, lambda _: collection)
        writing = asyncio.create_task(records.writer.run())
        await records.wait_until(generation, lambda record: record.reached >= last)
        await left(writing)
        assert [-1, -1, -1] == records.settled_sequences


async def test_a_writer_goes_on_after_a_restart(tmp_path: Path) -> None:
    """After a restart the collection stays, and only items that have changed are written."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes("a", "b"))
        first = await replica.write()
        before = await read_points(replica)
        await stores.items.upsert_many(generation, draw_writes("b", "c"))
        second = await replica.write()
        after = await read_points(replica)
        assert (first.version, 4) == (second.version, second.reached)
        assert before["a"] == after["a"]
        assert [2, 4, 4] == [after[item_id][SEQUENCE_FIELD] for item_id in ("a", "b", "c")]
        assert second == await replica.write()
        await check_items(replica)


async def test_writes_of_users_are_reached(tmp_path: Path) -> None:
    """The collection also reaches writes that change no item."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await replica.write()
        stored = await upsert_user(stores, generation, User("u"))
        assert stored.sequence == (await replica.write()).reached


async def test_a_batch_whose_note_was_lost_is_applied_again(tmp_path: Path) -> None:
    """If the writer ended between a write to the engine and its note, the collection stays."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes("a"))
        record = await replica.write()
        await stores.items.upsert_many(generation, draw_writes("a", "b"))
        batch = await stores.items.changes(generation, record.reached, 10, record.anchor)
        mark = CollectionMark(batch.reached, batch.anchor)
        await replica.open_writes(record).apply(batch.changes, mark)
        assert record.version == (await replica.write()).version
        await check_items(replica)


async def test_a_lost_collection_is_built_again(tmp_path: Path) -> None:
    """If the collection is gone, reads fail until another version of it is ready."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes("a", "b"))
        await replica.settle()
        (lost,) = await replica.list_collections()
        await replica.client.delete_collection(lost)
        with pytest.raises(errors.IndexUnavailable):
            await read_items(replica.index, ["a"])
        await replica.write_until(is_rebuilt)
        assert lost not in await replica.list_collections()
        await check_items(replica)


class StartingWrites(QdrantWrites):
    """Writes by way of a machine that does not know the collection for some calls."""

    def __init__(self, writes: QdrantWrites, calls: int) -> None:
        super().__init__(writes._calls)
        self.remaining = calls

    async def read_mark(self) -> CollectionMark | None:
        """Return the mark, if the machine knows it."""
        if self.remaining:
            self.remaining -= 1
            return None
        return await super().read_mark()


async def test_a_machine_that_starts_causes_no_build(tmp_path: Path) -> None:
    """A collection is lost only if it is missing several times."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes("a"))
        record = await replica.write()
        opened_writes = StartingWrites(replica.open_writes(record), LOSS_CHECKS - 1)
        reads = replica.open_reads(record)
        writer = SharedIndexWriter(
            stores.items,
            replica.records,
            generation,
            lambda _: OpenedCollection(reads, opened_writes),
        )
        writing = asyncio.create_task(writer.run())
        await stores.items.upsert_many(generation, draw_writes("b"))
        last = await stores.items.refresh()
        record = await replica.records.wait_until(generation, lambda now: now.reached >= last)
        await left(writing)
        assert (1, 0) == (record.version, opened_writes.remaining)


async def test_a_running_writer_notices_a_loss(tmp_path: Path) -> None:
    """A writer that cannot write to its collection any more builds another one."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await replica.write()
        writing = asyncio.create_task(replica.create_writer().run())
        (lost,) = await replica.list_collections()
        await replica.client.delete_collection(lost)
        await stores.items.upsert_many(generation, draw_writes("a"))
        record = await replica.records.wait_until(generation, is_rebuilt)
        await left(writing)
        assert 1 == record.reached
        await check_items(replica)


async def change_identity(replica: SharedReplica, record: SharedIndexRecord) -> None:
    """Let the collection be one of another space."""
    (name,) = await replica.list_collections()
    await replica.client.update_collection(name, metadata={"identity": "another"})
    assert None is await replica.open_writes(record).read_mark()


async def lose_mark(replica: SharedReplica, record: SharedIndexRecord) -> None:
    """Let the collection be one that was restored from an old copy."""
    record = await replica.get_record()
    (name,) = await replica.list_collections()
    await replica.client.delete_collection(name)
    await replica.open_writes(record).create()


@pytest.mark.parametrize("change", [change_identity, lose_mark])
async def test_another_collection_is_not_used(tmp_path: Path, change: Any) -> None:
    """A collection of another space, or without some of the writes, is built again."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes("a", "b"))
        await replica.settle()
        await change(replica, await replica.get_record())
        await replica.write_until(is_rebuilt)
        await check_items(replica)


async def test_missed_deletions_are_caught_up(tmp_path: Path) -> None:
    """Items whose tombstones are gone before the writer saw them do not stay in the engine."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        writes = [write_vectors(item_id, draw_vectors(3, *item_id.encode())) for item_id in "abc"]
        await stores.items.upsert_many(generation, writes)
        await replica.settle()
        sequence = await delete_item(stores, generation, "a")
        await stores.items.upsert_many(generation, draw_writes("d"))
        assert 1 == await stores.unused_rows.remove_tombstones(generation.catalog_id, sequence)
        await check_items(replica)
        assert 1 == (await replica.write()).version
        await check_items(replica)
        reads = replica.open_reads(await replica.get_record())
        assert ["b", "c", "d"] == sorted(await reads.list_ids(None, 9, searchable=False))
        owners, _ = await reads.read_first_vectors(99)
        assert {"b", "c", "d"} == set(owners)


async def test_a_purge_before_the_build_does_not_matter(tmp_path: Path) -> None:
    """A build of a catalog whose tombstones were purged is ready at the first attempt."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes("a", "b"))
        sequence = await delete_item(stores, generation, "a")
        await stores.unused_rows.remove_tombstones(generation.catalog_id, sequence)
        assert 1 == (await replica.write()).version
        await check_items(replica)
        assert 1 == (await replica.write()).version


async def test_another_build_ends_that_of_a_writer(tmp_path: Path) -> None:
    """A writer whose record was replaced by another build goes on with a collection of its own."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await replica.write()
        writing = asyncio.create_task(replica.create_writer().run())
        replaced = await stores.shared_indexes.start_build(generation, 0)
        await stores.items.upsert_many(generation, draw_writes("a"))
        record = await replica.records.wait_until(
            generation, lambda record: record.version > replaced.version and record.state is READY
        )
        await left(writing)
        assert 1 == record.reached
        await check_items(replica)
