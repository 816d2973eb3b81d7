"""The change of the index of a catalog, over real stores."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.embedders import SPACE
from support.open_catalogs import MODEL, WordCatalogs, word_catalogs

from service import errors
from service.catalog.admin import CatalogAdmin
from service.catalog.reindexing import Reindexing
from service.domain.catalog_settings import DEFAULT_SETTINGS
from service.domain.generations import CatalogRecord
from service.domain.index_kinds import IndexKind
from service.domain.items import BEGINNING
from service.domain.spaces import Model, ModelChoice, VectorStorage
from service.domain.stats import CatalogStats
from service.domain.text_formats import TextFormat
from service.embedding.providers import ProbedModel

MEMORY, SHARED = IndexKind.MEMORY, IndexKind.SHARED
OTHER = Model(replace(SPACE, model="other words"))


async def find_record(factory: WordCatalogs) -> CatalogRecord:
    return (await factory.stores.generations.list_catalogs())["shop"]


async def read_stats(factory: WordCatalogs) -> CatalogStats:
    async with factory.catalogs.use("shop") as catalog:
        return await catalog.stats.read()


async def read_kinds(factory: WordCatalogs) -> tuple[IndexKind, IndexKind | None]:
    """The index that serves, and the one that the catalog changes to."""
    stats = await read_stats(factory)
    return stats.index_kind, stats.next_index_kind


def reindexing(factory: WordCatalogs, *, can_share: bool = True) -> Reindexing:
    return Reindexing(factory.stores.generations, factory.catalogs.update_soon, can_share=can_share)


async def start(factory: WordCatalogs, index: IndexKind) -> None:
    await reindexing(factory).start("shop", index)


@asynccontextmanager
async def shared_catalog(folder: Path) -> AsyncIterator[WordCatalogs]:
    """The catalogs, of which `shop` says that it has a shared index."""
    async with word_catalogs(folder) as factory:
        await start(factory, SHARED)
        assert await factory.stores.generations.finish_index_change(await find_record(factory))
        await factory.catalogs.update()
        yield factory


async def test_a_shared_index_serves_once_it_is_built(tmp_path: Path) -> None:
    """Until then, the index in memory serves, and the statistics name both at once."""
    async with word_catalogs(tmp_path) as factory:
        assert (MEMORY, None) == await read_kinds(factory)
        await start(factory, SHARED)
        assert (MEMORY, SHARED) == await read_kinds(factory)
        await factory.catalogs.update()
        assert (MEMORY, SHARED) == await read_kinds(factory)
        assert await factory.stores.generations.finish_index_change(await find_record(factory))
        assert (MEMORY, SHARED) == await read_kinds(factory)
        await factory.catalogs.update()
        assert (SHARED, None) == await read_kinds(factory)


async def test_each_process_changes_to_memory_by_itself(tmp_path: Path) -> None:
    """Nothing is to be built: the change is stored at once, and shown until it serves."""
    async with shared_catalog(tmp_path) as factory:
        await start(factory, MEMORY)
        record = await find_record(factory)
        assert (MEMORY, None) == (record.index, record.next_index)
        assert (SHARED, MEMORY) == await read_kinds(factory)
        await factory.catalogs.update()
        assert (MEMORY, None) == await read_kinds(factory)


@pytest.mark.parametrize("present", [MEMORY, SHARED])
async def test_the_present_kind_changes_nothing(tmp_path: Path, present: IndexKind) -> None:
    """A change to the index that the catalog has succeeds."""
    async with word_catalogs(tmp_path) as memory, shared_catalog(tmp_path / "other") as shared:
        factory = memory if present is MEMORY else shared
        await start(factory, present)
        assert (present, None) == await read_kinds(factory)


async def test_the_present_kind_cancels_a_change(tmp_path: Path) -> None:
    """The end of the build has no effect then."""
    async with word_catalogs(tmp_path) as factory:
        await start(factory, SHARED)
        await start(factory, MEMORY)
        assert (MEMORY, None) == await read_kinds(factory)
        record = await find_record(factory)
        assert not await factory.stores.generations.finish_index_change(record)


async def test_progress_is_that_of_a_build(tmp_path: Path) -> None:
    """It is 0 before the build and once the shared index serves, and in between the share done."""
    async with word_catalogs(tmp_path) as factory:
        indexes, generations = factory.stores.shared_indexes, factory.stores.generations
        generation = (await find_record(factory)).serving.generation

        async def read_progress() -> float:
            return (await read_stats(factory)).index_progress

        progress = [await read_progress()]
        await start(factory, SHARED)
        progress.append(await read_progress())
        record = await indexes.start_build(generation, target=8)
        progress.append(await read_progress())
        await indexes.note_progress(record, 2, BEGINNING, item_count=0)
        progress.append(await read_progress())
        await indexes.note_progress(record, 9, BEGINNING, item_count=0)
        progress.append(await read_progress())
        assert await generations.finish_index_change(await find_record(factory))
        progress.append(await read_progress())
        record = await indexes.start_build(generation, target=10)
        await indexes.note_progress(record, 5, BEGINNING, item_count=0)
        progress.append(await read_progress())
        assert [0.0, 0.0, 0.0, 0.25, 1.0, 0.0, 0.5] == progress


@pytest.mark.parametrize("index", [MEMORY, SHARED])
async def test_a_server_without_an_engine_has_no_shared_index(
    tmp_path: Path, index: IndexKind
) -> None:
    """Changes to it are refused, and those to memory are not."""
    async with shared_catalog(tmp_path) as factory:
        change = reindexing(factory, can_share=False).start("shop", index)
        if index is SHARED:
            with pytest.raises(errors.SharedIndexOff, match="AKIN_QDRANT_URL"):
                await change
        else:
            await change
        assert index is (await find_record(factory)).index


@pytest.mark.parametrize("index", [MEMORY, SHARED])
async def test_no_index_changes_during_a_re_embedding(tmp_path: Path, index: IndexKind) -> None:
    """A catalog changes one thing at a time; the present kind stays allowed."""
    async with word_catalogs(tmp_path / "m") as memory, shared_catalog(tmp_path / "s") as shared:
        factory, present = (shared, SHARED) if index is MEMORY else (memory, MEMORY)
        generations = factory.stores.generations
        await factory.start_next(OTHER)
        with pytest.raises(errors.ReembeddingUnderWay):
            await start(factory, index)
        record = await find_record(factory)
        assert record.next is not None
        await generations.start_indexing(record.next.generation)
        assert await generations.switch(record.serving.generation, record.next.generation)
        with pytest.raises(errors.ReembeddingNotCommitted):
            await start(factory, index)
        await start(factory, present)
        record = await find_record(factory)
        assert (present, None) == (record.index, record.next_index)
        await generations.commit(record)
        await start(factory, index)
        record = await find_record(factory)
        assert index in {record.index, record.next_index}


async def test_no_re_embedding_starts_during_a_change(tmp_path: Path) -> None:
    """A shared index is built for the generation that serves, unless the change is cancelled."""
    async with word_catalogs(tmp_path) as factory:
        await start(factory, SHARED)
        with pytest.raises(errors.ReindexUnderWay):
            await factory.start_next(OTHER)
        await start(factory, MEMORY)
        await factory.start_next(OTHER)


async def test_a_deleted_catalog_is_not_found(tmp_path: Path) -> None:
    """Its name alone changes nothing."""
    async with word_catalogs(tmp_path) as factory:
        await factory.stores.generations.delete_catalog("shop")
        for index in (MEMORY, SHARED):
            with pytest.raises(errors.CatalogNotFound):
                await start(factory, index)


@pytest.mark.parametrize(
    ("default", "chosen", "created"),
    [
        (MEMORY, None, MEMORY),
        (MEMORY, SHARED, SHARED),
        (SHARED, None, SHARED),
        (SHARED, MEMORY, MEMORY),
    ],
)
@pytest.mark.parametrize("can_share", [True, False])
async def test_a_new_catalog_has_the_chosen_index(
    tmp_path: Path,
    default: IndexKind,
    chosen: IndexKind | None,
    created: IndexKind,
    can_share: bool,
) -> None:
    """Without a choice, it has that of the settings; a shared one requires an engine."""

    async def find_model(_choice: ModelChoice) -> ProbedModel:
        return ProbedModel(MODEL, 1.0)

    async with word_catalogs(tmp_path) as factory:
        stores, update = factory.stores, factory.catalogs.show_change
        admin = CatalogAdmin(
            stores.generations,
            stores.catalog_settings,
            update,
            find_model,
            index=default,
            can_share=can_share,
        )
        creation = admin.create(
            "new",
            ModelChoice(),
            VectorStorage.UNSPECIFIED,
            TextFormat.PLAIN,
            DEFAULT_SETTINGS,
            chosen,
        )
        if created is SHARED and not can_share:
            with pytest.raises(errors.SharedIndexOff):
                await creation
            assert "new" not in await stores.generations.list_catalogs()
        else:
            await creation
            assert created is (await stores.generations.list_catalogs())["new"].index
