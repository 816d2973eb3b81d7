import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import all_items, default_generation, indexed, open_stores, opened, rows

from service import errors
from service.domain.spaces import Space
from service.storage.data_folder import lock_folder

pytestmark = pytest.mark.sqlite

DATABASE = "akin.sqlite3"


async def filled(folder: Path) -> None:
    async with opened(folder, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed(f"i{n}", f"word{n}") for n in range(100)])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        replace(SPACE, provider="elsewhere"),
        replace(SPACE, model="other"),
        replace(SPACE, dimensions=SPACE.dimensions + 1),
        replace(SPACE, template="query: {text}"),
        replace(SPACE, normalization="none"),
    ],
)
async def test_another_space_is_refused(tmp_path: Path, other: Space) -> None:
    """A catalog opens only in its own space; the refusal names both and says what to do."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        with pytest.raises(errors.SpaceMismatch) as caught:
            await default_generation(stores, other)
    message = caught.value.message
    assert f"{SPACE.model} ({SPACE.provider}, {SPACE.dimensions} dimensions)" in message
    assert f"{other.model} ({other.provider}" in message


async def test_a_refused_space_leaves_no_trace(tmp_path: Path) -> None:
    """After another space was refused the catalog is as before, and only its space is stored."""
    await filled(tmp_path)
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        with pytest.raises(errors.SpaceMismatch):
            await default_generation(stores, replace(SPACE, model="other"))
        assert catalog == await default_generation(stores, SPACE)
        assert 100 == len(await all_items(stores, catalog))
    assert [(SPACE.fingerprint,)] == rows(tmp_path, "SELECT fingerprint FROM spaces")


def test_a_folder_belongs_to_one_server_at_a_time(tmp_path: Path) -> None:
    """A folder cannot be locked again until its lock is free."""
    with (
        lock_folder(tmp_path),
        pytest.raises(errors.StoreUnavailable, match="another server uses this data folder"),
        lock_folder(tmp_path),
    ):
        raise AssertionError
    with lock_folder(tmp_path):
        pass


async def test_stores_learn_of_each_others_commits(tmp_path: Path) -> None:
    """What one store commits, another one over the same folder knows once it has looked."""
    async with (
        opened(tmp_path, FakeClock()) as (one, catalog),
        opened(tmp_path, FakeClock()) as (two, same),
    ):
        sequences: list[int] = []
        two.database.commits.listen(sequences.append)
        (stored,) = await one.items.upsert_many(catalog, [indexed("a", "tea")])
        assert two.database.commits.last_sequence < stored.sequence
        assert stored.sequence == await two.database.refresh() == two.database.commits.last_sequence
        assert stored.sequence == await two.database.refresh()
        assert [stored.sequence] == sequences
        (later,) = await two.items.upsert_many(same, [indexed("b", "coffee")])
        assert stored.sequence < later.sequence == await one.database.refresh()
        assert ["a", "b"] == [item.item.item_id for item in await all_items(one, catalog)]


async def test_a_folder_is_created_with_its_parents(tmp_path: Path) -> None:
    """A folder that does not exist is created."""
    async with opened(tmp_path / "new" / "folder", FakeClock()):
        assert (tmp_path / "new" / "folder" / DATABASE).is_file()


async def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A data folder that is a file is refused."""
    (tmp_path / "file").touch()
    with pytest.raises(errors.StoreUnavailable, match="cannot be used"):
        open_stores(tmp_path / "file", FakeClock())


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a newer version is refused with what to do, and not changed."""
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(errors.StoreCorrupted, match=r"schema version 99.*run the newer version"):
        open_stores(tmp_path, FakeClock())
    assert [(99,)] == rows(tmp_path, "PRAGMA user_version")
    assert [(100,)] == rows(tmp_path, "SELECT count(*) FROM items")


async def test_migrations_run_once(tmp_path: Path) -> None:
    """Opening again changes neither the schema nor its version."""
    query = "SELECT sql FROM sqlite_master UNION ALL SELECT user_version FROM pragma_user_version"
    await filled(tmp_path)
    before = rows(tmp_path, query)
    async with opened(tmp_path, FakeClock()):
        pass
    migrations = resources.files("service.storage.sqlite.migrations").iterdir()
    assert (sum(path.name.endswith(".sql") for path in migrations),) in before
    assert before == rows(tmp_path, query)


async def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    """Where the database's file holds something else, opening says that it is damaged."""
    (tmp_path / DATABASE).write_bytes(b"these are not the pages you look for" * 1_000)
    with pytest.raises(errors.StoreCorrupted, match="damaged"):
        open_stores(tmp_path, FakeClock())


async def test_damage_is_reported_while_reading(tmp_path: Path) -> None:
    """A damaged page ends the reads that need it with StoreCorrupted, and only those."""
    await filled(tmp_path)
    ((page_bytes,),) = rows(tmp_path, "PRAGMA page_size")
    ((page,),) = rows(tmp_path, "SELECT rootpage FROM sqlite_master WHERE name = 'items'")
    with (tmp_path / DATABASE).open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        with pytest.raises(errors.StoreCorrupted, match="damaged"):
            await stores.items.get_many(catalog, ["i1"])
        with pytest.raises(errors.StoreCorrupted, match="damaged"):
            await stores.items.upsert_many(catalog, [indexed("i1", "other")])
        assert None is await stores.users.get(catalog, "u")


async def test_a_closed_store_leaves_one_database_file(tmp_path: Path) -> None:
    """Closing folds the write-ahead log in, so that the database is one file to copy."""
    await filled(tmp_path)
    assert [DATABASE] == files(tmp_path)
