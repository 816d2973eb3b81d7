"""What the stores record of shared indexes, and of the corpus statistics beside them."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import (
    broken_references,
    default_catalog,
    indexed,
    opened,
    remove_dropped,
    rows,
)

from service.domain.generations import Generation
from service.domain.index_kinds import IndexKind
from service.domain.items import BEGINNING, Anchor
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.domain.spaces import Model, VectorStorage
from service.storage.sqlite.backup import create_backup, restore_backup
from service.storage.stores import Stores

BUILDING, READY = SharedIndexState.BUILDING, SharedIndexState.READY
NEW = Model(replace(SPACE, model="new"))

# A token has up to 63 bits.
ANCHOR = Anchor(12, 2**63 - 1)


async def create_shared(stores: Stores, name: str = "other") -> Generation:
    """The serving generation of a new catalog with a shared index."""
    catalog = await stores.generations.create_catalog(
        name, Model(SPACE), VectorStorage.UNSPECIFIED, index=IndexKind.SHARED
    )
    return catalog.serving.generation


async def unused_ids(stores: Stores) -> list[int]:
    """The generations of unused shared indexes."""
    return [record.generation_id for record in await stores.shared_indexes.list_unused()]


async def test_a_build_starts_empty(tmp_path: Path) -> None:
    """The first index of a generation has version 1, and it is there after a restart."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert None is await stores.shared_indexes.get(generation)
        built = await stores.shared_indexes.start_build(generation, 7)
    expected = SharedIndexRecord(generation.generation_id, 1, BUILDING, 0, BEGINNING, 7, 0, None)
    assert expected == built
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert expected == await stores.shared_indexes.get(generation)
        assert [expected] == await stores.shared_indexes.list_all()


async def test_a_rebuild_has_the_next_version(tmp_path: Path) -> None:
    """Nothing of the former index is left in the record, not even that it was dropped."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store = stores.shared_indexes
        first = await store.start_build(generation, 7)
        assert await store.note_progress(first, 12, ANCHOR, 3)
        await store.mark_dropped(first)
        expected = replace(first, version=2, target=20)
        assert expected == await store.start_build(generation, 20)
        assert expected == await store.get(generation)


async def test_an_index_is_ready_once_it_has_reached_its_target(tmp_path: Path) -> None:
    """One change before the target it is building; later progress leaves it ready."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store = stores.shared_indexes
        record = await store.start_build(generation, 12)
        for reached, count, state in ((11, 1, BUILDING), (12, 3, READY), (13, 2, READY)):
            assert await store.note_progress(record, reached, ANCHOR, count)
            assert await store.get(generation) == replace(
                record, state=state, reached=reached, anchor=ANCHOR, item_count=count
            )


async def test_an_index_without_a_target_is_ready_after_its_first_progress(tmp_path: Path) -> None:
    """The index of a store without any write is ready, too."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        record = await stores.shared_indexes.start_build(generation, 0)
        assert BUILDING is record.state
        assert await stores.shared_indexes.note_progress(record, 0, BEGINNING, 0)
        ready = await stores.shared_indexes.get(generation)
        assert replace(record, state=READY) == ready


async def test_work_on_a_replaced_index_changes_nothing(tmp_path: Path) -> None:
    """A writer whose index was rebuilt or removed by another one has no effect on any record."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store = stores.shared_indexes
        stale = await store.start_build(generation, 7)
        present = await store.start_build(generation, 9)
        other = await store.start_build(await create_shared(stores), 9)
        assert not await store.note_progress(stale, 12, ANCHOR, 3)
        await store.mark_dropped(stale)
        await store.remove(stale)
        assert [present, other] == await store.list_all()
        await store.remove(present)
        assert not await store.note_progress(present, 12, ANCHOR, 3)
        await store.mark_dropped(present)
        assert [other] == await store.list_all()


async def test_records_do_not_raise_the_sequence_number(tmp_path: Path) -> None:
    """Nobody who follows the sequence is woken, in this process or in another one."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        calls: list[int] = []
        stores.database.commits.listen(calls.append)
        before, version = await stores.database.refresh(), await stores.generations.get_version()
        store = stores.shared_indexes
        record = await store.start_build(generation, 1)
        assert await store.note_progress(record, 1, ANCHOR, 1)
        assert 1 == await store.write_statistics(generation, b"s")
        await store.mark_dropped(record)
        await store.remove(record)
        assert [] == calls
        assert before == await stores.database.refresh()
        assert version == await stores.generations.get_version()
        (stored,) = await stores.items.upsert_many(generation, [indexed("b", "rum")])
        assert before + 1 == stored.sequence


async def test_the_first_mark_of_a_dropped_index_counts(tmp_path: Path) -> None:
    """Marking it again does not prolong the time for which others may still read it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        store = stores.shared_indexes
        record = await store.start_build(generation, 1)
        await store.mark_dropped(record)
        dropped = await store.get(generation)
        assert dropped is not None
        assert dropped.dropped_us is not None
        clock.advance(microseconds=1_000_000)
        await store.mark_dropped(dropped)
        assert dropped == await store.get(generation)


async def test_an_index_is_unused_unless_its_catalog_has_or_gets_a_shared_one(
    tmp_path: Path,
) -> None:
    """An index stays in use from the start of a change to it until the end of one from it."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.shared_indexes.start_build(generation, 1)
        generations, only = stores.generations, [generation.generation_id]
        assert only == await unused_ids(stores)
        await generations.start_index_change(await default_catalog(stores), IndexKind.SHARED)
        assert [] == await unused_ids(stores)
        assert await generations.finish_index_change(await default_catalog(stores))
        assert [] == await unused_ids(stores)
        await generations.start_index_change(await default_catalog(stores), IndexKind.MEMORY)
        assert [] == await unused_ids(stores)
        assert await generations.finish_index_change(await default_catalog(stores))
        assert only == await unused_ids(stores)


async def test_indexes_of_removed_generations_are_unused(tmp_path: Path) -> None:
    """They are listed before and after the rows of their generation go, until they are removed."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        store = stores.shared_indexes
        serving = await create_shared(stores)
        catalog = (await stores.generations.list_catalogs())["other"]
        await stores.generations.start_next(catalog, NEW)
        catalog = (await stores.generations.list_catalogs())["other"]
        assert catalog.next is not None
        next_ = catalog.next.generation
        records = [await store.start_build(generation, 1) for generation in (serving, next_)]
        assert [] == await store.list_unused()
        await stores.generations.cancel(catalog)
        assert records[1:] == await store.list_unused()
        await stores.generations.delete_catalog("other")
        assert records == await store.list_unused()
        await remove_dropped(stores)
        assert records == await store.list_unused()
        assert 1 == len(rows(tmp_path, "SELECT 1 FROM generations"))
        for record in records:
            await store.mark_dropped(record)
        dropped = await store.list_unused()
        assert [True, True] == [record.dropped_us is not None for record in dropped]
        for record in dropped:
            await store.remove(record)
        assert [] == await store.list_all()


async def test_corpus_statistics_have_a_version(tmp_path: Path) -> None:
    """Each write raises the version of its generation alone, also after a restart."""
    first, second = bytes(range(256)), b""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store, other = stores.shared_indexes, await create_shared(stores)
        assert 0 == await store.get_statistics_version(generation)
        assert None is await store.read_statistics(generation)
        assert 1 == await store.write_statistics(generation, first)
        assert (1, first) == await store.read_statistics(generation)
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store = stores.shared_indexes
        assert 2 == await store.write_statistics(generation, second)
        assert 2 == await store.get_statistics_version(generation)
        assert (2, second) == await store.read_statistics(generation)
        assert None is await store.read_statistics(other)


async def test_corpus_statistics_go_with_their_generation(tmp_path: Path) -> None:
    """No row is left of a deleted catalog, and those of others stay."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store, other = stores.shared_indexes, await create_shared(stores)
        for owner in (generation, other):
            assert 1 == await store.write_statistics(owner, b"s")
        await stores.generations.delete_catalog("other")
        assert 0 == await store.write_statistics(other, b"t")
        await remove_dropped(stores)
        assert None is await store.read_statistics(other)
        assert (1, b"s") == await store.read_statistics(generation)
    assert [(1,)] == rows(tmp_path, "SELECT generation_id FROM corpus_statistics")
    assert [] == broken_references(tmp_path)


@pytest.mark.sqlite
async def test_a_restored_backup_knows_no_collection(tmp_path: Path) -> None:
    """A collection can have writes that came after the backup, so that it is built again."""
    data, copy, restored = tmp_path / "data", tmp_path / "copy", tmp_path / "restored"
    async with opened(data, FakeClock()) as (stores, generation):
        await stores.shared_indexes.start_build(generation, 7)
    create_backup(data, copy, lambda _done, _total: None)
    restore_backup(copy, restored)
    async with opened(restored, FakeClock()) as (stores, _):
        assert () == tuple(await stores.shared_indexes.list_all())
