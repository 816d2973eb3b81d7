import asyncio
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import default_catalog, opened, remove_dropped

from service import errors
from service.domain.catalog_settings import (
    DEFAULT_SETTINGS,
    CatalogSettings,
    Prior,
    RankingMode,
    SettingsField,
    SignalMode,
)
from service.domain.generations import Generation
from service.domain.index_kinds import IndexKind, IndexKinds
from service.domain.spaces import Model, VectorStorage
from service.domain.text_formats import TextFormat
from service.storage.stores import Stores

SETTINGS = CatalogSettings(
    SignalMode.TEXT,
    {"VIEW": 0.1, "SAVE": -0.5},
    2.5,
    RankingMode.NEAREST,
    Prior("r\u00e9.'x", -0.1),
)
LIKES = {"LIKE": 2.0}
MEAN, RATED = RankingMode.MEAN, Prior("rating", 0.1)


async def create_other(stores: Stores, settings: CatalogSettings = DEFAULT_SETTINGS) -> None:
    await stores.generations.create_catalog(
        "other", Model(SPACE), VectorStorage.UNSPECIFIED, TextFormat.PLAIN, settings
    )


async def read_settings(stores: Stores, generation: Generation) -> CatalogSettings:
    """The settings of a catalog with an index in memory."""
    settings, kinds = await stores.catalog_settings.get(generation)
    assert IndexKinds(IndexKind.MEMORY, None) == kinds
    return settings


async def test_a_catalog_keeps_its_settings(tmp_path: Path) -> None:
    """Settings of a new catalog are there after a restart, and other catalogs have the defaults."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        await create_other(stores, SETTINGS)
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        record = (await stores.generations.list_catalogs())["other"]
        assert SETTINGS == record.settings
        assert SETTINGS == await read_settings(stores, record.serving.generation)
        assert DEFAULT_SETTINGS == (await default_catalog(stores)).settings
        assert DEFAULT_SETTINGS == await read_settings(stores, generation)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (SettingsField.SIGNALS, CatalogSettings(SignalMode.TEXT, LIKES, 1.0, MEAN, RATED)),
        (SettingsField.INTERACTION_WEIGHTS, CatalogSettings(SignalMode.AUTO, {}, 1.0, MEAN, RATED)),
        (SettingsField.NEW_ITEM_BOOST, CatalogSettings(SignalMode.AUTO, LIKES, 0.0, MEAN, RATED)),
        (
            SettingsField.RANKING,
            CatalogSettings(SignalMode.AUTO, LIKES, 1.0, RankingMode.SERVER, RATED),
        ),
        (SettingsField.PRIOR, CatalogSettings(SignalMode.AUTO, LIKES, 1.0, MEAN, None)),
    ],
)
async def test_an_update_changes_only_its_fields(
    tmp_path: Path, field: SettingsField, expected: CatalogSettings
) -> None:
    """A field of an update is replaced as a whole, and the others stay, also after a restart."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await create_other(stores, SETTINGS)
        before = CatalogSettings(SignalMode.AUTO, LIKES, 1.0, MEAN, RATED)
        await stores.catalog_settings.update("default", before, tuple(SettingsField))
        assert before == await read_settings(stores, generation)
        await stores.catalog_settings.update("default", CatalogSettings(SignalMode.TEXT), [field])
    async with opened(tmp_path, FakeClock()) as (stores, _):
        catalogs = await stores.generations.list_catalogs()
        assert (expected, SETTINGS) == (catalogs["default"].settings, catalogs["other"].settings)


async def test_concurrent_updates_of_different_fields_are_all_kept(tmp_path: Path) -> None:
    """Updates at the same time do not overwrite each other's fields."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        for _ in range(20):
            await stores.catalog_settings.update("default", DEFAULT_SETTINGS, tuple(SettingsField))
            await asyncio.gather(
                *(
                    stores.catalog_settings.update("default", SETTINGS, [field])
                    for field in SettingsField
                )
            )
            assert SETTINGS == await read_settings(stores, generation)


async def test_processes_notice_an_update(tmp_path: Path) -> None:
    """An update has a sequence number, and counts as a change of catalogs."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        version, sequence = await stores.generations.get_version(), await stores.database.refresh()
        await stores.catalog_settings.update("default", SETTINGS, [SettingsField.SIGNALS])
        assert version < await stores.generations.get_version()
        assert sequence < await stores.database.refresh()


async def test_a_missing_catalog_has_no_settings(tmp_path: Path) -> None:
    """An update fails for an unknown or deleted name, and a read for a deleted catalog."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        await create_other(stores)
        other = (await stores.generations.list_catalogs())["other"].serving.generation
        await stores.generations.delete_catalog("other")
        version = await stores.generations.get_version()
        for name in ("other", "missing", ""):
            with pytest.raises(errors.CatalogNotFound):
                await stores.catalog_settings.update(name, SETTINGS, [SettingsField.SIGNALS])
        assert version == await stores.generations.get_version()
        with pytest.raises(errors.CatalogNotFound):
            await stores.catalog_settings.get(other)
        await remove_dropped(stores)
        with pytest.raises(errors.CatalogNotFound):
            await stores.catalog_settings.get(other)
        await create_other(stores)
        assert DEFAULT_SETTINGS == (await stores.generations.list_catalogs())["other"].settings
