"""Calls while other reads of the database take long."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.catalogs import ids
from support.open_catalogs import word_catalogs
from support.tasks import started

from service.catalog.handle import CatalogHandle
from service.domain.items import Item
from service.domain.recommendations import Query, TextSource, UserSource
from service.domain.users import Preference, User
from service.domain.writes import ItemUpsert, UserUpsert
from service.storage.database import READER_THREADS, Database, ReadKind
from service.storage.sql import Connection


@asynccontextmanager
async def held_reads(database: Database, kind: ReadKind) -> AsyncIterator[None]:
    """Keep all threads of one kind of reads busy."""
    release = threading.Event()

    def hold(_connection: Connection) -> None:
        release.wait()

    readers = [await started(database.read(hold, kind)) for _ in range(READER_THREADS[kind])]
    try:
        yield
    finally:
        release.set()
        await asyncio.gather(*readers)


async def write(catalog: CatalogHandle) -> None:
    """Store an item and a user with texts that are new."""
    await catalog.items.upsert(ItemUpsert(Item("b", "black tea")))
    await catalog.users.upsert(UserUpsert(User("u", (Preference("white tea"),))))


async def recommend(catalog: CatalogHandle) -> None:
    for source in (TextSource("tea"), UserSource("u")):
        assert ["a"] == ids(await catalog.recommender.recommend(Query(source, 1)))


async def get(catalog: CatalogHandle) -> None:
    assert "green tea" == (await catalog.items.get("a")).item.text


CALLS: dict[str, Callable[[CatalogHandle], Awaitable[None]]] = {
    "write": write,
    "recommend": recommend,
    "get": get,
}


@pytest.mark.parametrize("name", CALLS)
async def test_short_calls_do_not_wait_for_long_reads(tmp_path: Path, name: str) -> None:
    """Large lists and analyses do not hold up writes, reads of them, and recommendations."""
    async with word_catalogs(tmp_path) as factory:
        async with factory.catalogs.use("shop") as catalog:
            written = await catalog.items.upsert(ItemUpsert(Item("a", "green tea")))
            await catalog.users.upsert(UserUpsert(User("u", (Preference("tea"),))))
        async with (
            held_reads(factory.stores.database, ReadKind.SCAN),
            factory.catalogs.use("shop", written.stored.sequence) as catalog,
        ):
            await CALLS[name](catalog)


@pytest.mark.parametrize("kind", [ReadKind.ROWS, ReadKind.SCAN])
async def test_followers_do_not_wait_for_other_reads(tmp_path: Path, kind: ReadKind) -> None:
    """A deletion, which reads nothing itself, shows in the index while other reads take long."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        await catalog.items.upsert(ItemUpsert(Item("a", "green tea")))
        async with held_reads(factory.stores.database, kind):
            await catalog.items.delete("a", allow_missing=False)
            assert 0 == catalog.generations.serving.reader.item_count


async def test_reads_of_whole_catalogs_do_not_hold_up_short_ones(tmp_path: Path) -> None:
    """An index that compares its items with the store, and a purge, use the threads of scans."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        await catalog.items.upsert(ItemUpsert(Item("a", "green tea")))
        generation = catalog.generations.serving.generation
        async with held_reads(factory.stores.database, ReadKind.ROWS):
            item_ids, _ = await factory.stores.items.undeleted_ids(generation)
            assert {"a"} == set(item_ids)
            assert {} == await factory.stores.unused_rows.count_tombstones()
