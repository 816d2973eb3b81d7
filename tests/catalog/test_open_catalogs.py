import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.catalogs import ids
from support.embedders import SPACE
from support.open_catalogs import WordCatalogs, word_catalogs
from support.tasks import started

from service import errors
from service.domain.analyses import OutliersQuery
from service.domain.catalog_settings import (
    DEFAULT_SETTINGS,
    CatalogSettings,
    SettingsField,
    SignalMode,
)
from service.domain.items import Item
from service.domain.recommendations import Query, TextSource
from service.domain.spaces import Model, VectorStorage
from service.domain.usage import TokenUsage
from service.domain.writes import ItemUpsert
from service.index.item_index import ItemIndex

NO_TOKENS = TokenUsage()
OTHER = Model(replace(SPACE, model="other words"))
TEA = Query(TextSource("tea"), 5)


async def put(factory: WordCatalogs, item_id: str, text: str) -> int:
    async with factory.catalogs.use("shop") as catalog:
        return (await catalog.items.upsert(ItemUpsert(Item(item_id, text)))).stored.sequence


async def start_reembedding(factory: WordCatalogs) -> None:
    """Add a next generation with all vectors, which waits for its switch."""
    await factory.start_next(OTHER)
    async with factory.catalogs.use("shop") as catalog:
        assert catalog.generations.other is not None
        writer = catalog.generations.other.writer
        items = await factory.stores.reembedding.list_unfilled(writer.generation, 0, 1_000)
        vectors = await writer.text_embedder.embed_documents([item.text for item in items])
        filled = [(item, vectors.chunks[item.text]) for item in items]
        await factory.stores.reembedding.fill(writer.generation, filled, NO_TOKENS)
        await factory.stores.generations.start_indexing(writer.generation)
    await factory.catalogs.update()


async def switch(factory: WordCatalogs) -> None:
    async with factory.catalogs.use("shop") as catalog:
        serving, other = catalog.generations.serving, catalog.generations.other
        assert other is not None
        assert await factory.stores.generations.switch(serving.generation, other.writer.generation)
    await factory.catalogs.update()


async def test_a_call_ends_with_the_catalog_it_began_with(tmp_path: Path) -> None:
    """A deleted catalog answers calls that began before, however long, and closes after them."""
    async with word_catalogs(tmp_path) as factory:
        for number in range(3):
            await put(factory, f"i{number}", f"word{number} tea")
        async with factory.catalogs.use("shop") as catalog:
            await factory.stores.generations.delete_catalog("shop")
            await factory.catalogs.update()
            with pytest.raises(errors.CatalogNotFound):
                await factory.catalogs.acquire("shop")
            await factory.finish_tasks()
            assert [] == factory.removed
            outliers = await catalog.outliers.find(OutliersQuery())
            assert {"i0", "i1", "i2"} == {outlier.item_id for outlier in outliers.outliers}
            generation_id = catalog.generations.serving.generation.generation_id
        assert [generation_id] == await factory.wait_for_removal()


async def test_a_call_is_answered_from_one_generation(tmp_path: Path) -> None:
    """A call that began before a switch keeps its generation; later calls get the new one."""
    async with word_catalogs(tmp_path) as factory:
        await put(factory, "a", "green tea")
        await start_reembedding(factory)
        async with factory.catalogs.use("shop") as before:
            await switch(factory)
            async with factory.catalogs.use("shop") as after:
                assert SPACE == before.generations.serving.text_embedder.space
                assert OTHER.space == after.generations.serving.text_embedder.space
                query = Query(TextSource("tea"), 1)
                assert ["a"] == ids(await before.recommender.recommend(query))
                assert ["a"] == ids(await after.recommender.recommend(query))


async def test_a_dropped_generation_closes_after_its_last_call(tmp_path: Path) -> None:
    """The previous generation is closed once it is committed away and no call uses it."""
    async with word_catalogs(tmp_path) as factory:
        await put(factory, "a", "green tea")
        await start_reembedding(factory)
        async with factory.catalogs.use("shop") as before:
            await switch(factory)
            await factory.stores.generations.commit(before.record)
            await factory.catalogs.update()
            await factory.finish_tasks()
            assert [] == factory.removed
        closed = before.generations.serving.generation.generation_id
        assert [closed] == await factory.wait_for_removal()


async def test_a_write_across_a_switch_can_be_read(tmp_path: Path) -> None:
    """A write that began before a switch is visible in the generation that serves after it."""
    async with word_catalogs(tmp_path) as factory:
        await put(factory, "a", "green tea")
        await start_reembedding(factory)
        async with factory.catalogs.use("shop") as before:
            await switch(factory)
            written = await before.items.upsert(ItemUpsert(Item("b", "black tea")))
        async with factory.catalogs.use("shop") as after:
            assert after.generations.serving.reader.sequence >= written.stored.sequence


async def test_a_read_waits_for_the_write_it_asks_for(tmp_path: Path) -> None:
    """With min_sequence a handle comes only once its index has applied that write."""
    async with word_catalogs(tmp_path) as factory:
        sequence = await put(factory, "a", "green tea")
        async with factory.catalogs.use("shop", sequence) as catalog:
            assert catalog.generations.serving.reader.sequence >= sequence


async def test_min_sequence_beyond_the_last_write_is_refused(tmp_path: Path) -> None:
    """A read that asks for a write that was never made fails instead of waiting without end."""
    async with word_catalogs(tmp_path) as factory:
        beyond = factory.stores.database.commits.last_sequence + 1
        with pytest.raises(errors.InvalidRequest, match=r"^min_sequence"):
            await factory.catalogs.use("shop", beyond).__aenter__()


async def test_statistics_wait_for_a_write_in_every_catalog(tmp_path: Path) -> None:
    """With min_sequence, statistics come only once the index of each catalog has that write."""
    async with word_catalogs(tmp_path) as factory:
        async with factory.catalogs.use("") as catalog:
            reader = catalog.generations.serving.reader
        begun, release = threading.Event(), threading.Event()

        def hold(_index: ItemIndex) -> None:
            begun.set()
            release.wait()

        reading = await started(reader.read_in_worker(hold))
        try:
            await asyncio.to_thread(begun.wait)
            sequence = await put(factory, "a", "green tea")
            listing = await started(factory.catalogs.read_stats(sequence))
            await asyncio.wait([listing], timeout=0.1)
            assert not listing.done()
            assert reader.sequence < sequence
        finally:
            release.set()
        await reading
        assert ["default", "shop"] == [stats.name for stats in await listing]
        assert reader.sequence >= sequence


async def test_statistics_that_wait_have_new_catalogs_of_other_processes(tmp_path: Path) -> None:
    """With min_sequence, statistics include a catalog that another process has just created."""
    async with word_catalogs(tmp_path) as factory:
        sequence = await put(factory, "a", "green tea")
        await factory.stores.generations.create_catalog("new", OTHER, VectorStorage.FLOAT32)
        stats = await factory.catalogs.read_stats(sequence)
        assert ["default", "new", "shop"] == [catalog.name for catalog in stats]


async def test_statistics_of_a_write_that_was_never_made_are_refused(tmp_path: Path) -> None:
    """Statistics as of a write beyond the last one fail instead of waiting without end."""
    async with word_catalogs(tmp_path) as factory:
        beyond = 1 + await put(factory, "a", "green tea")
        with pytest.raises(errors.InvalidRequest, match=r"^min_sequence"):
            await factory.catalogs.read_stats(beyond)


@pytest.mark.parametrize("name", ["nothing", "NOT A NAME", "shop "])
async def test_an_unknown_name_resolves_to_no_catalog(tmp_path: Path, name: str) -> None:
    """A name without a catalog, valid or not, never resolves to another catalog."""
    async with word_catalogs(tmp_path) as factory:
        with pytest.raises(errors.CatalogNotFound):
            await factory.catalogs.use(name).__aenter__()


async def test_an_empty_name_is_the_default_catalog(tmp_path: Path) -> None:
    """The empty name resolves to the default catalog."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("") as catalog:
        assert "default" == catalog.record.name


async def test_a_cancelled_call_returns_its_handle(tmp_path: Path) -> None:
    """A call whose caller leaves does not keep a deleted catalog open."""
    async with word_catalogs(tmp_path) as factory:
        entered = asyncio.Event()

        async def hold() -> None:
            async with factory.catalogs.use("shop"):
                entered.set()
                await asyncio.Event().wait()

        call = await started(hold())
        await entered.wait()
        await factory.stores.generations.delete_catalog("shop")
        await factory.catalogs.update()
        call.cancel()
        await asyncio.wait([call])
        assert 1 == len(await factory.wait_for_removal())


async def test_a_write_that_is_on_disk_succeeds_while_the_service_ends(tmp_path: Path) -> None:
    """A write does not fail because the index ends before it has applied it."""
    async with word_catalogs(tmp_path) as factory, factory.catalogs.use("shop") as catalog:
        await catalog.items.upsert(ItemUpsert(Item("a", "green tea")))
        factory.end()
        assert await catalog.items.delete("a", allow_missing=False)
        with pytest.raises(errors.ItemNotFound):
            await catalog.items.get("a")


async def test_new_settings_replace_the_handle_and_keep_the_generations(tmp_path: Path) -> None:
    """Later calls have the new settings on the same index, and earlier ones keep their own."""
    async with word_catalogs(tmp_path) as factory:
        await put(factory, "a", "green tea")
        settings = CatalogSettings(SignalMode.TEXT, {"SAVE": 1.0})
        async with factory.catalogs.use("shop") as before:
            await factory.stores.catalog_settings.update("shop", settings, tuple(SettingsField))
            await factory.catalogs.update()
            assert DEFAULT_SETTINGS == before.record.settings
            async with factory.catalogs.use("shop") as after:
                assert settings == after.record.settings
                assert SignalMode.TEXT is after.signals
                assert before.generations.serving is after.generations.serving
                assert ["a"] == ids(await after.recommender.recommend(TEA))
            assert ["a"] == ids(await before.recommender.recommend(TEA))
        async with factory.catalogs.use("default") as other:
            assert DEFAULT_SETTINGS == other.record.settings
        await factory.finish_tasks()
        assert [] == factory.removed


async def test_new_settings_keep_a_re_embedding(tmp_path: Path) -> None:
    """After a change during a re-embedding, writes go to both generations, and it can switch."""
    async with word_catalogs(tmp_path) as factory:
        await put(factory, "a", "green tea")
        await start_reembedding(factory)
        settings = CatalogSettings(new_item_boost=2.0)
        await factory.stores.catalog_settings.update("shop", settings, tuple(SettingsField))
        await factory.catalogs.update()
        await put(factory, "b", "black tea")
        await switch(factory)
        async with factory.catalogs.use("shop") as catalog:
            assert settings == catalog.record.settings
            assert ["a", "b"] == sorted(ids(await catalog.recommender.recommend(TEA)))


async def test_a_catalog_with_the_numbers_of_a_lost_one_replaces_it(tmp_path: Path) -> None:
    """If the store has lost a generation and gave its number to another, that one serves."""
    async with word_catalogs(tmp_path) as factory:
        await factory.stores.generations.create_catalog("books", OTHER, VectorStorage.FLOAT32)
        await factory.catalogs.update()
        async with factory.catalogs.use("shop") as catalog:
            assert SPACE == catalog.generations.serving.text_embedder.space
            generation_id = catalog.generations.serving.generation.generation_id
        await factory.stores.database.write(
            lambda transaction: transaction.connection.execute(
                """UPDATE generations SET space_id = (SELECT max(space_id) FROM spaces)
                   WHERE generation_id = ?""",
                (generation_id,),
            )
        )
        factory.stores.database.commits.doubt()
        await factory.catalogs.update()
        async with factory.catalogs.use("shop") as catalog:
            assert OTHER.space == catalog.generations.serving.text_embedder.space
