"""Statistics that are read again only where they may have changed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from support.open_catalogs import MODEL, WordCatalogs, word_catalogs
from support.stores import pending

from service.catalog.stats_watch import LOOKS_PER_TURN, StatsWatch
from service.domain.items import Item
from service.domain.spaces import VectorStorage
from service.domain.stats import CatalogStats
from service.domain.users import User
from service.domain.writes import ItemUpsert, UserUpsert


async def put(factory: WordCatalogs, item_id: str) -> None:
    async with factory.catalogs.use("shop") as catalog:
        await catalog.items.upsert(ItemUpsert(Item(item_id, "tea"), require_indexed=False))


def describe(stats: Sequence[CatalogStats]) -> list[CatalogStats]:
    """Return statistics without the numbers that followers are still catching up with."""
    return [replace(catalog, sequence=0, indexed_sequence=0) for catalog in stats]


async def read_all(factory: WordCatalogs) -> list[CatalogStats]:
    return describe(await factory.catalogs.read_stats())


async def test_statistics_follow_items_and_catalogs(tmp_path: Path) -> None:
    """After each change of items or catalogs, the statistics are those that are read anyway."""
    async with word_catalogs(tmp_path) as factory:
        watch = StatsWatch(factory.catalogs)
        assert await read_all(factory) == describe(await watch.read())
        await put(factory, "a")
        assert await read_all(factory) == describe(await watch.read())
        async with factory.catalogs.use("shop") as catalog:
            generation = catalog.record.serving.generation
            (stored,) = await factory.stores.items.upsert_many(generation, [pending("b", "rum")])
            await catalog.generations.serving.reader.wait_for(stored.sequence)
        assert await read_all(factory) == describe(await watch.read())
        await factory.stores.generations.create_catalog("new", MODEL, VectorStorage.FLOAT32)
        assert await read_all(factory) == describe(await watch.read())
        await factory.stores.generations.delete_catalog("shop")
        stats = await watch.read()
        assert ["default", "new"] == [catalog.name for catalog in stats]


async def test_every_catalog_has_its_turn(tmp_path: Path) -> None:
    """What does not change the index, such as a user, is seen within a turn at the latest."""
    async with word_catalogs(tmp_path) as factory:
        watch = StatsWatch(factory.catalogs)
        await watch.read()
        async with factory.catalogs.use("shop") as catalog:
            await catalog.users.upsert(UserUpsert(User("u")))
        looks = 0
        while [0, 1] != [catalog.user_count for catalog in await watch.read()]:
            looks += 1
        assert looks < LOOKS_PER_TURN
