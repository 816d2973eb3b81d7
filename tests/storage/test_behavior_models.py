"""Models on disk: whole or absent, and nothing left of what is not used."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clock import FakeClock
from support.item_lists import SUMMARY
from support.open_catalogs import word_stores
from support.stores import default_catalog, indexed, opened, rows, upsert_user

from service import errors
from service.domain.behavior import Arrays
from service.domain.users import LikedItem, User
from service.storage.behavior_models import PIECE_BYTES, PIECES_PER_REMOVAL, BehaviorModelStore
from service.storage.stores import Stores

LATER = replace(SUMMARY, train_time_us=SUMMARY.train_time_us + 1)


def draw_arrays(seed: int = 1) -> Arrays:
    """Return arrays of several types: one of three pieces, one that fills a piece, an empty one."""
    rng = np.random.default_rng(seed)
    return {
        "long": rng.integers(0, 99, PIECE_BYTES // 4 * 2 + 7).astype(np.int32),
        "full": rng.random(PIECE_BYTES // 4).astype(np.float32),
        "halves": rng.random(5).astype(np.float16),
        "empty": np.zeros(0, np.uint64),
    }


async def assert_loads(store: BehaviorModelStore, arrays: Arrays, catalog_id: int) -> None:
    loaded = await store.load(catalog_id)
    assert loaded is not None
    assert arrays.keys() == loaded[1].keys()
    for name, array in arrays.items():
        assert array.dtype == loaded[1][name].dtype
        np.testing.assert_array_equal(array, loaded[1][name])


async def test_a_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    """Arrays of any type and length, and the summary, are equal after the store was closed."""
    clock, arrays = FakeClock(), draw_arrays()
    async with opened(tmp_path, clock) as (stores, generation):
        assert await stores.behavior_models.load(generation.catalog_id) is None
        await stores.behavior_models.save(generation.catalog_id, SUMMARY, arrays)
    async with opened(tmp_path, clock) as (stores, generation):
        store, catalog_id = stores.behavior_models, generation.catalog_id
        await assert_loads(store, arrays, catalog_id)
        assert SUMMARY == await store.read_summary(catalog_id)
        assert {catalog_id: SUMMARY.train_time_us} == await store.read_train_times()


async def test_a_new_model_leaves_nothing_of_the_former_one(tmp_path: Path) -> None:
    """The pieces of a replaced model are removed."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store, catalog_id = stores.behavior_models, generation.catalog_id
        await store.save(catalog_id, SUMMARY, draw_arrays())
        await store.save(catalog_id, LATER, {"one": np.arange(3)})
        await assert_loads(store, {"one": np.arange(3)}, catalog_id)
        assert [] == await store.list_outdated()
    assert [(2,)] == rows(tmp_path, "SELECT count(*) FROM behavior_model_pieces")


class FailingArray(np.ndarray[Any, Any]):
    """An array whose bytes cannot be read."""

    def tobytes(self, order: str | None = "C") -> bytes:  # noqa: D102
        raise OSError("the disk fails")


async def test_a_saving_that_fails_leaves_the_former_model(tmp_path: Path) -> None:
    """After an error between two pieces, the former model loads; the remains are listed and go."""
    arrays = draw_arrays()
    bad = {**draw_arrays(2), "zz": np.arange(9).view(FailingArray)}
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store, catalog_id = stores.behavior_models, generation.catalog_id
        await store.save(catalog_id, SUMMARY, arrays)
        with pytest.raises(OSError, match="the disk fails"):
            await store.save(catalog_id, LATER, bad)
        await assert_loads(store, arrays, catalog_id)
        assert [catalog_id] == await store.list_outdated()
        await store.remove_outdated(catalog_id)
        assert [] == await store.list_outdated()
        await assert_loads(store, arrays, catalog_id)


async def test_a_removed_model_leaves_nothing(tmp_path: Path) -> None:
    """A model is removed with its pieces, unless another one has replaced it."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store, catalog_id = stores.behavior_models, generation.catalog_id
        await store.save(catalog_id, LATER, draw_arrays())
        await store.remove(catalog_id, SUMMARY.train_time_us)
        assert await store.load(catalog_id) is not None
        await store.remove(catalog_id, LATER.train_time_us)
        assert await store.load(catalog_id) is None
        assert {} == await store.read_train_times()
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM behavior_model_pieces")


async def test_a_deleted_catalog_loses_its_model(tmp_path: Path) -> None:
    """The model of a deleted catalog goes in small rounds, and no other one can be saved."""
    count = 2 * PIECES_PER_REMOVAL + 1
    arrays = {f"array{number}": np.zeros(0, np.int8) for number in range(count)}
    async with word_stores(tmp_path) as (stores, _clock):
        store = stores.behavior_models
        other = (await default_catalog(stores)).catalog_id
        shop = (await stores.generations.list_catalogs())["shop"]
        for catalog_id in (other, shop.catalog_id):
            await store.save(catalog_id, SUMMARY, arrays)
        await stores.generations.delete_catalog("shop")
        with pytest.raises(errors.CatalogNotFound):
            await store.save(shop.catalog_id, LATER, arrays)
        assert {other: SUMMARY.train_time_us} == await store.read_train_times()
        with pytest.raises(errors.CatalogNotFound):
            await store.read_changes(shop.catalog_id)
        left = [count_pieces(tmp_path, shop.catalog_id)]
        while await stores.removal.remove_rows():
            left.append(count_pieces(tmp_path, shop.catalog_id))
        steps = -np.diff(left)
        assert PIECES_PER_REMOVAL == steps.max()
        assert 0 == left[-1]
        assert {other: SUMMARY.train_time_us} == await store.read_train_times()
        await assert_loads(store, arrays, other)


def count_pieces(folder: Path, catalog_id: int) -> int:
    query = "SELECT count(*) FROM behavior_model_pieces WHERE catalog_id = "
    ((count,),) = rows(folder, f"{query}{catalog_id}")
    return int(count)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE behavior_model_pieces SET data = x'00' WHERE number = 0 AND array = 'long'",
        "UPDATE behavior_model_pieces SET data = x'000102' WHERE number = 1 AND array = 'long'",
        "UPDATE behavior_model_pieces SET data = x'7C5634' WHERE number = 0",  # '|V4'
        "UPDATE behavior_model_pieces SET data = x'3C4D385B735D' WHERE number = 0",  # '<M8[s]'
        "DELETE FROM behavior_model_pieces WHERE number = 0 AND array = 'long'",
    ],
)
async def test_a_damaged_array_is_an_error(tmp_path: Path, damage: str) -> None:
    """A piece that is missing or has other bytes raises ValueError."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store, catalog_id = stores.behavior_models, generation.catalog_id
        await store.save(catalog_id, SUMMARY, draw_arrays())
        await execute(stores, damage)
        with pytest.raises(ValueError, match="damaged"):
            await store.load(catalog_id)


async def execute(stores: Stores, statement: str, *parameters: str) -> None:
    await stores.database.write(
        lambda transaction: transaction.connection.execute(statement, parameters)
    )


@pytest.mark.parametrize("summary", ["{}", "[]", "null", '{"blend": 1}', "{"])
async def test_a_summary_of_another_version_is_none(tmp_path: Path, summary: str) -> None:
    """A summary that cannot be read counts as missing, so that the model is trained again."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        store, catalog_id = stores.behavior_models, generation.catalog_id
        await store.save(catalog_id, SUMMARY, {})
        await execute(stores, "UPDATE behavior_models SET summary = ?", summary)
        assert await store.read_summary(catalog_id) is None
        assert await store.load(catalog_id) is None


async def like(stores: Stores, count: int) -> None:
    """Store a user who likes so many items."""
    generation = (await default_catalog(stores)).serving.generation
    items = tuple(LikedItem(f"liked {number}") for number in range(count))
    await upsert_user(stores, generation, User(f"user {count}", (), items))


async def test_items_are_new_until_people_could_like_them(tmp_path: Path) -> None:
    """Items that came after the likes are new, the latest first, until there are likes enough."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):

        async def list_new(item_count: int, limit: int = 9) -> Sequence[str]:
            store = stores.behavior_models
            return await store.list_new_ids(generation.catalog_id, item_count, limit)

        async def upsert(*item_ids: str) -> None:
            await stores.items.upsert_many(generation, [indexed(name, name) for name in item_ids])

        await upsert("old")
        await like(stores, 10)
        await upsert("a", "b")
        assert {"a", "b"} == set(await list_new(3))
        await like(stores, 1)
        await upsert("c", "old")  # a change of the text does not make an item new
        assert "c" == (await list_new(4))[0]
        assert ["c"] == await list_new(4, 1)
        await like(stores, 3)
        assert ["c"] == await list_new(4)
        await stores.items.delete_many(generation, ["old"])
        await upsert("old")  # a deleted item that comes back is new
        assert ["old", "c"] == await list_new(4)
        await stores.items.delete_many(generation, ["old", "c"])
        assert [] == await list_new(2)
