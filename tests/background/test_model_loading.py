"""The models of a process, which another process may have trained."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.behavior_models import build_model_arrays
from support.item_lists import SUMMARY
from support.open_catalogs import word_stores
from support.stores import rows
from support.tasks import left

from service import errors
from service.background.model_loading import BehaviorModels
from service.storage.behavior_models import BehaviorModelStore
from service.storage.stores import Stores

ARRAYS = build_model_arrays([["a", "b", "c"]] * 3)
LATER = replace(SUMMARY, train_time_us=SUMMARY.train_time_us + 1)


async def find_id(stores: Stores, name: str = "shop") -> int:
    return (await stores.generations.list_catalogs())[name].catalog_id


async def test_models_are_those_of_the_store(tmp_path: Path) -> None:
    """Models that are saved, replaced and removed are so in memory too, each by its catalog."""
    async with word_stores(tmp_path) as (stores, _clock):
        models, store = BehaviorModels(stores.behavior_models), stores.behavior_models
        shop, other = await find_id(stores), await find_id(stores, "default")
        await models.update()
        assert models.find(shop) is None
        await store.save(shop, SUMMARY, ARRAYS)
        await models.update()
        first = models.find(shop)
        assert first is not None
        assert (SUMMARY, None) == (first.summary, models.find(other))
        await models.update()
        assert first is models.find(shop)
        await store.save(shop, LATER, ARRAYS)
        await store.save(other, SUMMARY, ARRAYS)
        await models.update()
        assert [LATER, SUMMARY] == [
            model and model.summary for model in (models.find(shop), models.find(other))
        ]
        await store.remove(shop, LATER.train_time_us)
        await models.update()
        assert models.find(shop) is None


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM behavior_model_pieces WHERE array = 'totals'",
        "DELETE FROM behavior_model_pieces",
        "UPDATE behavior_model_pieces SET data = x'0001' WHERE array = 'ids' AND number = 1",
        "UPDATE behavior_model_pieces SET data = x'FF' WHERE number = 0",
        "UPDATE behavior_model_pieces SET data = x'0102030405060708' WHERE array = 'id_offsets'",
        "DELETE FROM behavior_model_pieces WHERE number = 1 AND array = 'ridge_columns'",
    ],
)
async def test_a_damaged_model_is_removed(tmp_path: Path, damage: str) -> None:
    """A damaged model ends nothing: it is logged and removed, so that another one is trained."""
    async with word_stores(tmp_path) as (stores, _clock):
        models, shop = BehaviorModels(stores.behavior_models), await find_id(stores)
        await stores.behavior_models.save(shop, SUMMARY, ARRAYS)
        await stores.database.write(lambda transaction: transaction.connection.execute(damage))
        with capture_logs() as logs:
            await models.update()
            await models.update()
        assert models.find(shop) is None
        assert ["behavior_model_damaged"] == [line["event"] for line in logs]
        assert await stores.behavior_models.read_summary(shop) is None
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM behavior_model_pieces")


class FailingModels(BehaviorModelStore):
    """Models in a database that fails if it is to."""

    fails = False

    async def read_train_times(self) -> Mapping[int, int]:
        """Return the times unless the database fails."""
        if self.fails:
            raise errors.StoreUnavailable("it fails")
        return await super().read_train_times()


async def test_a_database_that_cannot_be_read_leaves_the_models(tmp_path: Path) -> None:
    """While the database fails, the former models serve."""
    async with word_stores(tmp_path) as (stores, _clock):
        store = FailingModels(stores.database)
        models, shop = BehaviorModels(store), await find_id(stores)
        await store.save(shop, SUMMARY, ARRAYS)
        await models.update()
        store.fails = True
        with capture_logs() as logs:
            await models.update()
        assert models.find(shop) is not None
        assert ["STORE_UNAVAILABLE"] == [line["reason"] for line in logs]


async def test_a_new_model_is_loaded_when_woken(tmp_path: Path) -> None:
    """A process that trained a model uses it at once, and looks for those of others by itself."""
    async with word_stores(tmp_path) as (stores, _clock):
        models, shop = BehaviorModels(stores.behavior_models), await find_id(stores)
        task = asyncio.create_task(models.run())
        for summary in (SUMMARY, LATER):
            await stores.behavior_models.save(shop, summary, ARRAYS)
            if summary is LATER:
                models.wake()
            while (model := models.find(shop)) is None or model.summary != summary:
                await asyncio.wait([task], timeout=0.01)
        await left(task)
