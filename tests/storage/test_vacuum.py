import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import all_items, compaction_of, delete_item, indexed, opened, rows

from service import errors
from service.domain.spaces import Model, VectorStorage
from service.storage.data_folder import DATABASE
from service.storage.sqlite.vacuum import vacuum_database

pytestmark = pytest.mark.sqlite

ITEMS = 500


def ignore_progress(_written: int, _total: int) -> None:
    """Take no notice of the progress."""


async def fill(folder: Path) -> int:
    """Write items and delete all but one; return the size of the file."""
    async with opened(folder, FakeClock()) as (stores, generation):
        writes = [indexed(str(number), f"text {number}") for number in range(ITEMS)]
        await stores.items.upsert_many(generation, writes)
        await stores.items.delete_many(generation, [str(number) for number in range(1, ITEMS)])
        last = stores.database.commits.last_sequence
        while await stores.unused_rows.remove_tombstones(generation.catalog_id, last):
            pass
        while (await stores.unused_rows.remove_unused_vectors(1 << 62, 0))[1]:
            pass
    return (folder / DATABASE).stat().st_size


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_the_new_file_has_the_same_contents_without_free_pages(tmp_path: Path) -> None:
    """Items, sequence numbers and ids that were given out stay as they were."""
    before = await fill(tmp_path)
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.generations.create_catalog("c", Model(SPACE), VectorStorage.UNSPECIFIED)
        await stores.generations.delete_catalog("c")
        while await stores.removal.remove_rows():
            pass
        items = await all_items(stores, generation)
        last = stores.database.commits.last_sequence
    reports: list[tuple[int, int]] = []
    sizes = vacuum_database(tmp_path, lambda written, total: reports.append((written, total)))
    assert before == sizes.bytes_before
    assert (tmp_path / DATABASE).stat().st_size == sizes.bytes_after < before
    assert [(0,)] == rows(tmp_path, "PRAGMA freelist_count")
    assert all(0 <= written and 0 < total < before for written, total in reports)
    assert {DATABASE} == names(tmp_path)
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert items == await all_items(stores, generation)
        assert last == stores.database.commits.last_sequence
        new = await stores.generations.create_catalog("d", Model(SPACE), VectorStorage.UNSPECIFIED)
        assert generation.generation_id + 2 == new.serving.generation.generation_id
        assert last < await delete_item(stores, generation, "0")


async def test_an_older_database_can_shrink_afterwards(tmp_path: Path) -> None:
    """A database without a map of its pages gets one."""
    await fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as connection:
        connection.executescript("PRAGMA auto_vacuum = NONE; VACUUM")
    assert [(0,)] == rows(tmp_path, "PRAGMA auto_vacuum")
    vacuum_database(tmp_path, ignore_progress)
    async with opened(tmp_path, FakeClock()) as (stores, _):
        assert (await compaction_of(stores).read_usage()).is_compactable


async def test_a_database_that_another_process_reads_is_left_alone(tmp_path: Path) -> None:
    """While a backup runs, nothing changes, and the error says why."""
    before = await fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert (1,) == reader.execute("SELECT count(*) FROM items").fetchone()
        with pytest.raises(errors.StoreUnavailable, match="cannot be vacuumed: database is locked"):
            vacuum_database(tmp_path, ignore_progress)
        reader.execute("COMMIT")
    assert before == (tmp_path / DATABASE).stat().st_size
    vacuum_database(tmp_path, ignore_progress)
    assert [(1,)] == rows(tmp_path, "SELECT count(*) FROM items")


async def test_what_a_killed_vacuum_left_is_removed(tmp_path: Path) -> None:
    """Copies of killed commands do not take the room that the next one needs."""
    await fill(tmp_path)
    partial = f"{DATABASE}.{'0' * 32}.partial"
    for name in (partial, f"{partial}-journal", "copy.partial"):
        (tmp_path / name).write_text("content")
    vacuum_database(tmp_path, ignore_progress)
    assert {DATABASE, "copy.partial"} == names(tmp_path)


async def test_a_database_behind_a_link_stays_there(tmp_path: Path) -> None:
    """A database that was moved to another disk is vacuumed there, and the link stays."""
    folder, disk = tmp_path / "data", tmp_path / "disk"
    before = await fill(folder)
    disk.mkdir()
    (folder / DATABASE).rename(disk / DATABASE)
    (folder / DATABASE).symlink_to(disk / DATABASE)
    vacuum_database(folder, ignore_progress)
    assert (folder / DATABASE).is_symlink()
    assert {DATABASE} == names(disk)
    assert (disk / DATABASE).stat().st_size < before
    assert [(1,)] == rows(folder, "SELECT count(*) FROM items")


async def test_a_damaged_database_is_left_as_it_is(tmp_path: Path) -> None:
    """A damaged page is an error, and the file keeps every byte."""
    await fill(tmp_path)
    file = tmp_path / DATABASE
    content = bytearray(file.read_bytes())
    content[8192:12288] = bytes(4096)
    file.write_bytes(content)
    with pytest.raises(errors.StoreCorrupted, match="damaged"):
        vacuum_database(tmp_path, ignore_progress)
    assert len(content) == file.stat().st_size
    assert content[4096:] == file.read_bytes()[4096:]
    assert {DATABASE} == names(tmp_path)
