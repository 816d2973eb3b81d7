"""Catalogs that open late or not at all, beside others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from akin.v1.catalog_service_pb2 import CatalogSettings as CatalogSettingsMessage
from akin.v1.catalog_service_pb2 import UpdateCatalogRequest
from support.clock import FakeClock
from support.open_catalogs import MODEL, WordCatalogs, word_stores
from support.reembeddings import reembeddings
from support.tasks import left, started

from service import errors
from service.api.catalog_servicer import CatalogServicer
from service.catalog.admin import CatalogAdmin
from service.catalog.generation_writer import GenerationWriter
from service.catalog.generations import OpenGeneration
from service.catalog.open_catalog import Work
from service.catalog.reindexing import Reindexing
from service.domain.catalog_settings import (
    DEFAULT_SETTINGS,
    CatalogSettings,
    SettingsField,
)
from service.domain.generations import CatalogRecord, GenerationRecord
from service.domain.index_kinds import IndexKind
from service.domain.items import Item
from service.domain.spaces import ModelChoice, VectorStorage
from service.domain.text_formats import TextFormat
from service.domain.writes import ItemUpsert
from service.embedding.providers import ProbedModel
from service.storage.generations import GenerationStore
from service.storage.stores import Stores


class SickCatalogs(WordCatalogs):
    """Makes catalogs; the opening of one named `sick` hangs or fails until it is cured."""

    def __init__(
        self,
        stores: Stores,
        clock: FakeClock,
        group: asyncio.TaskGroup,
        failure: Exception | None,
    ) -> None:
        super().__init__(stores, clock, group, {})
        self.failure = failure
        self.is_cured = asyncio.Event()
        self.is_tried = asyncio.Event()

    def cure(self) -> None:
        """Let the catalog open."""
        self.failure = None
        self.is_cured.set()

    async def open_writer(self, record: GenerationRecord) -> GenerationWriter:
        """Return a generation, unless it is one of the sick catalog."""
        if record.generation.name == "sick":
            self.is_tried.set()
            if self.failure is not None:
                raise self.failure
            await self.is_cured.wait()
        return await super().open_writer(record)


@asynccontextmanager
async def with_sick_catalog(folder: Path, failure: Exception | None) -> AsyncIterator[SickCatalogs]:
    """Run the catalogs `default`, `shop` and one that another process has just created."""
    async with word_stores(folder) as (stores, clock), asyncio.TaskGroup() as group:
        factory = SickCatalogs(stores, clock, group, failure)
        await factory.catalogs.update()
        await stores.generations.create_catalog("sick", MODEL, VectorStorage.FLOAT32)
        yield factory
        factory.end()


async def put(factory: WordCatalogs, name: str) -> None:
    async with factory.catalogs.use(name) as catalog:
        await catalog.items.upsert(ItemUpsert(Item("a", "tea")))


async def put_when_open(factory: SickCatalogs, name: str) -> None:
    """Store an item once the catalog is open."""
    while True:
        try:
            return await put(factory, name)
        except errors.NotReady:
            await factory.is_cured.wait()


@pytest.mark.parametrize("failure", [None, OSError("no disk"), errors.StoreUnavailable("no disk")])
async def test_a_catalog_that_cannot_open_does_not_affect_others(
    tmp_path: Path, failure: Exception | None
) -> None:
    """Catalogs open, and calls in them succeed, while another catalog hangs or fails."""
    async with with_sick_catalog(tmp_path, failure) as factory:
        await factory.catalogs.start_update()
        await factory.is_tried.wait()
        await factory.stores.generations.create_catalog("new", MODEL, VectorStorage.FLOAT32)
        await put(factory, "new")
        await put(factory, "shop")
        await factory.stores.generations.delete_catalog("shop")
        await factory.catalogs.update("shop")
        with pytest.raises(errors.CatalogNotFound):
            await put(factory, "shop")
        assert ["default", "new"] == factory.catalogs.names()
        factory.cure()
        await put_when_open(factory, "sick")


async def test_a_catalog_opens_although_its_call_leaves(tmp_path: Path) -> None:
    """The opening of a catalog does not end with the call that needed it first."""
    async with with_sick_catalog(tmp_path, None) as factory:
        call = await started(factory.catalogs.acquire("sick"))
        await factory.is_tried.wait()
        await left(call)
        factory.cure()
        await put(factory, "sick")


async def test_a_deleted_catalog_is_not_opened_any_more(tmp_path: Path) -> None:
    """The opening of a catalog that hangs ends when another process deletes the catalog."""
    async with with_sick_catalog(tmp_path, None) as factory:
        await factory.catalogs.start_update()
        await factory.is_tried.wait()
        await factory.stores.generations.delete_catalog("sick")
        await factory.catalogs.update()
        factory.cure()
        with pytest.raises(errors.CatalogNotFound):
            await put(factory, "sick")
        assert ["default", "shop"] == [stats.name for stats in await factory.catalogs.read_stats()]


class LoadingCatalogs(WordCatalogs):
    """Makes catalogs, whose later indexes are loaded only when a test says so."""

    def __init__(self, stores: Stores, clock: FakeClock, group: asyncio.TaskGroup) -> None:
        super().__init__(stores, clock, group, {})
        self.is_loading, self.may_load = asyncio.Event(), asyncio.Event()

    async def open_generation(
        self, writer: GenerationWriter, record: CatalogRecord
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """Return a generation, whose tasks wait if its index replaces another one."""
        opened, tasks = await super().open_generation(writer, record)
        if not isinstance(writer, OpenGeneration):
            return opened, tasks
        return opened, [self._load(task) for task in tasks]

    async def _load(self, task: Work) -> None:
        self.is_loading.set()
        await self.may_load.wait()
        await task


async def test_writes_do_not_wait_for_an_index_that_is_loaded(tmp_path: Path) -> None:
    """The former index serves until then, and the other one has all writes afterwards."""
    async with word_stores(tmp_path) as (stores, clock), asyncio.TaskGroup() as group:
        factory = LoadingCatalogs(stores, clock, group)
        await factory.catalogs.update()
        await put(factory, "shop")
        shop = (await stores.generations.list_catalogs())["shop"]
        await stores.generations.change_index(shop, IndexKind.SHARED)
        await factory.catalogs.start_update()
        await factory.is_loading.wait()
        await factory.finish_tasks()
        async with factory.catalogs.use("shop") as catalog:
            assert IndexKind.MEMORY is catalog.generations.serving.index
            await catalog.items.upsert(ItemUpsert(Item("b", "tea")))
        factory.may_load.set()
        await factory.catalogs.update()
        async with factory.catalogs.use("shop") as catalog:
            reader = catalog.generations.serving.reader
            assert IndexKind.SHARED is catalog.generations.serving.index
            assert (2, stores.items.last_sequence) == (reader.item_count, reader.sequence)
        factory.end()


BOOSTED = CatalogSettings(new_item_boost=2.0)


class EngineLessCatalogs(WordCatalogs):
    """Makes catalogs with indexes in memory; no other index can be opened."""

    async def open_generation(
        self, writer: GenerationWriter, record: CatalogRecord
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """Return a generation, unless its index is shared."""
        if record.index is IndexKind.SHARED:
            raise errors.IndexUnavailable("there is no engine")
        return await super().open_generation(writer, record)


async def test_a_catalog_keeps_its_index_if_another_one_cannot_be_opened(tmp_path: Path) -> None:
    """It still follows the store after the change was taken back, and after a further change."""
    async with word_stores(tmp_path) as (stores, clock), asyncio.TaskGroup() as group:
        factory = EngineLessCatalogs(stores, clock, group, {})
        await factory.catalogs.update()
        shop = (await stores.generations.list_catalogs())["shop"]
        for index in (IndexKind.SHARED, IndexKind.MEMORY):
            await stores.generations.change_index(shop, index)
            await factory.catalogs.update()
            await put(factory, "shop")
        await stores.catalog_settings.update("shop", BOOSTED, [SettingsField.NEW_ITEM_BOOST])
        await factory.catalogs.update()
        await factory.finish_tasks()
        async with factory.catalogs.use("shop") as catalog:
            assert BOOSTED == catalog.record.settings
            await catalog.items.upsert(ItemUpsert(Item("b", "tea")))
        await factory.catalogs.wait_until_caught_up()
        factory.end()


class UnreadableGenerations(GenerationStore):
    """Catalogs that cannot be read as long as `is_failing`, but written."""

    is_failing = False

    async def get_version(self) -> int:
        """Return the version, or fail."""
        if self.is_failing:
            raise errors.StoreUnavailable("the disk cannot be used now")
        return await super().get_version()


async def test_a_change_that_is_on_disk_succeeds(tmp_path: Path) -> None:
    """A catalog is created, changed and deleted although the store cannot be read afterwards."""

    async def find_model(_choice: ModelChoice) -> ProbedModel:
        return ProbedModel(MODEL, 1.0)

    async with word_stores(tmp_path) as (opened, clock), asyncio.TaskGroup() as group:
        generations = UnreadableGenerations(opened.database)
        stores = replace(opened, generations=generations)
        factory = WordCatalogs(stores, clock, group, {})
        await factory.catalogs.update()
        admin = CatalogAdmin(
            generations, stores.catalog_settings, factory.catalogs.show_change, find_model
        )
        generations.is_failing = True
        await admin.create(
            "new", ModelChoice(), VectorStorage.FLOAT32, TextFormat.PLAIN, DEFAULT_SETTINGS
        )
        await admin.update_settings("new", BOOSTED, [SettingsField.NEW_ITEM_BOOST])
        await admin.delete("shop", allow_missing=False)
        generations.is_failing = False
        await factory.catalogs.update()
        assert ["default", "new"] == factory.catalogs.names()
        async with factory.catalogs.use("new") as catalog:
            assert BOOSTED == catalog.record.settings
        factory.end()


async def test_a_catalog_that_cannot_open_keeps_its_settings(tmp_path: Path) -> None:
    """UpdateCatalog that fails because the catalog cannot be opened has changed nothing."""

    async def find_model(_choice: ModelChoice) -> ProbedModel:
        return ProbedModel(MODEL, 1.0)

    failure = errors.StoreUnavailable("no disk")
    async with with_sick_catalog(tmp_path, failure) as factory, AsyncExitStack() as stack:
        stores, show_change = factory.stores, factory.catalogs.show_change
        admin = CatalogAdmin(stores.generations, stores.catalog_settings, show_change, find_model)
        reindexing = Reindexing(stores.generations, factory.catalogs.update_soon, can_share=False)
        servicer = CatalogServicer(
            factory.catalogs, admin, reembeddings(factory, stack, MODEL), reindexing
        )
        request = UpdateCatalogRequest(settings=CatalogSettingsMessage(new_item_boost=2.0))
        request.update_mask.paths.append("new_item_boost")
        shown = (await servicer.UpdateCatalog(request)).catalog
        assert 2.0 == shown.settings.new_item_boost
        request.catalog = "sick"
        with pytest.raises(errors.NotReady):
            await servicer.UpdateCatalog(request)
        assert DEFAULT_SETTINGS == (await stores.generations.list_catalogs())["sick"].settings
