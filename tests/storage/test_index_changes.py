"""Which index serves a catalog, and the change to another one."""

from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import default_catalog, opened, remove_dropped

from service import errors
from service.domain.generations import CatalogRecord
from service.domain.index_kinds import IndexKind
from service.domain.spaces import Model, VectorStorage
from service.storage.stores import Stores

MEMORY, SHARED = IndexKind.MEMORY, IndexKind.SHARED


async def create_other(stores: Stores, index: IndexKind) -> CatalogRecord:
    """A new catalog with an index."""
    return await stores.generations.create_catalog(
        "other", Model(SPACE), VectorStorage.UNSPECIFIED, index=index
    )


async def list_kinds(stores: Stores) -> dict[str, tuple[IndexKind, IndexKind | None]]:
    """The index of each catalog, and the one that it changes to."""
    catalogs = await stores.generations.list_catalogs()
    return {name: (catalog.index, catalog.next_index) for name, catalog in catalogs.items()}


async def test_a_catalog_keeps_the_index_of_its_creation(tmp_path: Path) -> None:
    """Without one, a catalog is in memory; a restart changes nothing."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        assert SHARED is (await create_other(stores, SHARED)).index
    async with opened(tmp_path, FakeClock()) as (stores, _):
        assert {"default": (MEMORY, None), "other": (SHARED, None)} == await list_kinds(stores)


async def test_only_a_new_default_catalog_gets_the_index_asked_for(tmp_path: Path) -> None:
    """A default catalog that exists keeps its index."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        kept = await stores.generations.open_default(Model(SPACE), SHARED)
        assert MEMORY is kept.index
        await stores.generations.delete_catalog("default")
        assert SHARED is (await stores.generations.open_default(Model(SPACE), SHARED)).index
        assert SHARED is (await stores.generations.open_default(Model(SPACE))).index


@pytest.mark.parametrize(("present", "next_"), [(MEMORY, SHARED), (SHARED, MEMORY)])
async def test_the_next_index_serves_at_the_end_of_the_change(
    tmp_path: Path, present: IndexKind, next_: IndexKind
) -> None:
    """The present index serves until then, and other catalogs keep theirs."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        created = await create_other(stores, present)
        await stores.generations.start_index_change(created, next_)
        assert {"default": (MEMORY, None), "other": (present, next_)} == await list_kinds(stores)
        assert await stores.generations.finish_index_change(created)
        assert {"default": (MEMORY, None), "other": (next_, None)} == await list_kinds(stores)
        assert not await stores.generations.finish_index_change(created)
        assert {"default": (MEMORY, None), "other": (next_, None)} == await list_kinds(stores)


async def test_a_change_back_to_the_present_index_cancels_the_change(tmp_path: Path) -> None:
    """The end of a change that was cancelled in the meantime has no effect."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        catalog = await default_catalog(stores)
        await stores.generations.start_index_change(catalog, SHARED)
        await stores.generations.start_index_change(catalog, MEMORY)
        assert {"default": (MEMORY, None)} == await list_kinds(stores)
        assert not await stores.generations.finish_index_change(catalog)
        assert {"default": (MEMORY, None)} == await list_kinds(stores)


@pytest.mark.parametrize("index", [MEMORY, SHARED])
async def test_an_index_that_needs_no_build_serves_at_once(
    tmp_path: Path, index: IndexKind
) -> None:
    """One transaction ends a change that is under way, and starts and ends another one."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        catalog = await default_catalog(stores)
        await stores.generations.start_index_change(catalog, SHARED)
        version = await stores.generations.get_version()
        await stores.generations.change_index(catalog, index)
        assert {"default": (index, None)} == await list_kinds(stores)
        assert version + 1 == await stores.generations.get_version()
        assert not await stores.generations.finish_index_change(catalog)


async def test_every_process_learns_of_a_change(tmp_path: Path) -> None:
    """The start and the end of a change raise both numbers that processes follow."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        catalog, generations = await default_catalog(stores), stores.generations

        async def read_numbers() -> tuple[int, int]:
            return await stores.database.refresh(), await generations.get_version()

        numbers = [await read_numbers()]
        await generations.start_index_change(catalog, SHARED)
        numbers.append(await read_numbers())
        assert await generations.finish_index_change(catalog)
        numbers.append(await read_numbers())
        assert not await generations.finish_index_change(catalog)
        numbers.append(await read_numbers())
        sequence, version = numbers[0]
        expected = [(sequence + step, version + step) for step in (0, 1, 2, 2)]
        assert expected == numbers


@pytest.mark.parametrize("with_rows", [True, False])
async def test_a_deleted_catalog_does_not_change_its_index(tmp_path: Path, with_rows: bool) -> None:
    """Nor does a new catalog of the same name."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        gone = await create_other(stores, MEMORY)
        await stores.generations.start_index_change(gone, SHARED)
        await stores.generations.delete_catalog("other")
        if not with_rows:
            await remove_dropped(stores)
        await create_other(stores, MEMORY)
        with pytest.raises(errors.CatalogNotFound):
            await stores.generations.start_index_change(gone, SHARED)
        with pytest.raises(errors.CatalogNotFound):
            await stores.generations.change_index(gone, SHARED)
        assert not await stores.generations.finish_index_change(gone)
        assert (MEMORY, None) == (await list_kinds(stores))["other"]
