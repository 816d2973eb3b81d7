from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock, HeldClock
from support.grouped_writes import outcomes_together
from support.row_dumps import dump
from support.stores import (
    CHOICE,
    all_changes,
    all_items,
    default_catalog,
    delete_expired,
    indexed,
    opened,
    pending,
    with_others,
)

from service.domain.generations import Generation
from service.domain.spaces import Model, Space
from service.storage.records import Deletion
from service.storage.stores import Stores
from service.storage.writer import Transaction

OTHER_SPACE = Model(Space("test", "other words", 32))
NAMES = [f"i{number}" for number in range(5)]


async def test_many_items_are_deleted_together(tmp_path: Path) -> None:
    """The items of the ids are gone, each with a sequence number of its own, and the rest stays."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        writes = [indexed(name, "x") for name in NAMES[:4]]
        await stores.items.upsert_many(catalog, [*writes, pending(NAMES[4], "x")])
        before = stores.database.commits.last_sequence
        deleted = await stores.items.delete_many(catalog, [NAMES[4], NAMES[0], NAMES[2]])
        assert Deletion(3, before + 3) == deleted
        assert before + 3 == stores.database.commits.last_sequence
        assert [NAMES[1], NAMES[3]] == [i.item.item_id for i in await all_items(stores, catalog)]
        changes = await all_changes(stores, catalog, before)
        assert {NAMES[0], NAMES[2], NAMES[4]} == {change.item_id for change in changes}
        assert {None} == {change.attributes for change in changes}
        assert [] == await stores.pending.list_due(catalog, 10)


async def test_ids_without_an_item_are_ignored(tmp_path: Path) -> None:
    """Missing, deleted and expired items are not deleted, and repeated ids count once."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        expiring = indexed("expired", "x", clock.now_us + 1)
        await stores.items.upsert_many(catalog, [indexed("a", "x"), indexed("b", "x"), expiring])
        await stores.items.delete_many(catalog, ["b"])
        clock.advance(microseconds=1)
        before = stores.database.commits.last_sequence
        ids = ["a", "a", "b", "missing", "expired", "a"]
        assert Deletion(1, before + 1) == await stores.items.delete_many(catalog, ids)
        assert Deletion(0, 0) == await stores.items.delete_many(catalog, ids)
        assert Deletion(0, 0) == await stores.items.delete_many(catalog, [])
        assert before + 1 == stores.database.commits.last_sequence


async def test_items_written_since_are_left(tmp_path: Path) -> None:
    """Of the ids only items with a sequence number up to the given one are deleted."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed(name, "x") for name in NAMES])
        selected = stores.database.commits.last_sequence
        await stores.items.upsert_many(catalog, [indexed(NAMES[1], "y")])
        await stores.items.update(catalog, NAMES[3], lambda item: item)
        deleted = await stores.items.delete_many(catalog, NAMES, selected)
        assert 3 == deleted.deleted_count
        assert [NAMES[1], NAMES[3]] == [i.item.item_id for i in await all_items(stores, catalog)]


async def test_another_catalog_keeps_its_items(tmp_path: Path) -> None:
    """Items with the same ids in another catalog stay."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        record = (await stores.generations.list_catalogs())["default"]
        other = (
            await stores.generations.create_catalog(
                "other", record.serving.model, record.vector_storage
            )
        ).serving.generation
        for generation in (catalog, other):
            await stores.items.upsert_many(generation, [indexed("a", "x")])
        assert 1 == (await stores.items.delete_many(other, ["a"])).deleted_count
        assert 1 == len(await all_items(stores, catalog))


async def create_other(stores: Stores) -> Generation:
    """A second catalog."""
    record = await default_catalog(stores)
    other = await stores.generations.create_catalog(
        "other", record.serving.model, record.vector_storage
    )
    return other.serving.generation


async def delete_from(folder: Path, *, together: bool) -> Any:
    """Delete items with and without vectors in two generations; return all rows."""
    async with opened(folder, FakeClock()) as (stores, catalog):
        await stores.generations.start_next(await default_catalog(stores), OTHER_SPACE)
        next_ = (await default_catalog(stores)).next
        assert next_ is not None
        others = {next_.generation.generation_id: indexed("a", "green tea").vectors.chunks}
        writes = [indexed(name, "tea") for name in NAMES]
        writes += [pending(f"pending {name}", "tea") for name in NAMES]
        both = [with_others(write, others) for write in writes[::2]]
        await stores.items.upsert_many(catalog, [*both, *writes[1::2]])
        ids = sorted(write.item.item_id for write in writes)[1:-1]
        for deleted in [ids] if together else [[item_id] for item_id in ids]:
            await stores.items.delete_many(catalog, deleted)
    return dump(folder)


async def test_items_deleted_together_leave_the_rows_of_single_deletions(tmp_path: Path) -> None:
    """A deletion of many items leaves the same as SQLite's of one after another."""
    tables = await delete_from(tmp_path / "together", together=True)
    CHOICE.uses_postgres = False
    assert tables == await delete_from(tmp_path / "single", together=False)
    assert tables["unused"]
    assert 2 == len({row[0] for row in tables["references"]})


async def test_expired_items_of_several_catalogs_are_deleted_together(tmp_path: Path) -> None:
    """A round deletes the expired items of all catalogs, each with a number of its own."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        other = await create_other(stores)
        for generation in (catalog, other):
            expiring = [indexed(name, "x", clock.now_us + 1) for name in NAMES[1:]]
            await stores.items.upsert_many(generation, [indexed(NAMES[0], "x"), *expiring])
        clock.advance(microseconds=1)
        before = stores.database.commits.last_sequence
        assert Deletion(8, before + 8) == await stores.items.delete_expired(100)
        assert 0 == await delete_expired(stores, 100)
        for generation in (catalog, other):
            assert NAMES[:1] == [i.item.item_id for i in await all_items(stores, generation)]
            changes = await all_changes(stores, generation, before)
            assert {*NAMES[1:]} == {change.item_id for change in changes}
            assert {()} == {tuple(change.vectors) for change in changes}


@pytest.mark.postgres
async def test_a_deletion_reads_only_its_items(tmp_path: Path) -> None:
    """Also with plans from the time when the tables were empty, no other item is read."""
    clock = HeldClock()

    def count_rows(transaction: Transaction) -> int:
        """The rows of items that the connection has read in a while."""
        (count,) = transaction.connection.execute(
            """SELECT CAST(seq_tup_read + idx_tup_fetch AS BIGINT)
               FROM pg_stat_xact_user_tables WHERE relname = 'items'"""
        ).fetchone()
        return int(count)

    async with opened(tmp_path, clock) as (stores, catalog):
        for _ in range(10):  # enough for psycopg to prepare the statements
            await stores.items.delete_many(catalog, ["a", "missing"])
            await stores.items.upsert_many(catalog, [indexed("a", "x")])
        await stores.items.upsert_many(catalog, [indexed(f"i{n}", "x") for n in range(1_000)])
        for ids in (["i7"], [f"i{n}" for n in range(100, 110)]):
            before, deleted, after = await outcomes_together(
                stores,
                clock,
                [
                    stores.database.write(count_rows),
                    stores.items.delete_many(catalog, ids),
                    stores.database.write(count_rows),
                ],
            )
            assert len(ids) == deleted.deleted_count
            assert len(ids) <= after - before <= 3 * len(ids)
