from pathlib import Path

from support.clock import FakeClock
from support.stores import all_changes, all_items, indexed, opened, pending

from service.storage.records import Deletion

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
