import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from support.clock import FakeClock
from support.embedders import SPACE
from support.stores import chunks_of, compaction_of, indexed, opened, rows

from service.background.purge import (
    MAX_WAITING_TOMBSTONES,
    MIN_FREE_PAGES,
    MIN_RETENTION_SECONDS,
    SHARED_TOMBSTONE_SECONDS,
    Purge,
    Purged,
    purge_stopped,
)
from service.domain.claims import Settlement
from service.domain.generations import Generation
from service.embedding.prompts import hash_text
from service.index.maintenance import IndexPosition
from service.storage.stores import Stores

# They take several times the pages that a purge leaves free.
ITEMS = 3_000
DAY_SECONDS = 86_400.0


def purge_of(
    stores: Stores,
    *positions: tuple[int, int],
    catalog_id: int = 1,
    retention_seconds: float = 0.0,
    shared: bool = False,
) -> Purge:
    """A purge beside indexes of a catalog that have applied and saved these sequence numbers."""
    indexes = [IndexPosition(catalog_id, *position) for position in positions]
    return Purge(stores, lambda: indexes, retention_seconds, shared=shared, rest_factor=0.0)


async def write_and_delete(stores: Stores, generation: Generation, count: int) -> Sequence[int]:
    """Write items and delete them; return the sequence numbers of the deletions."""
    names = [str(number) for number in range(count)]
    await stores.items.upsert_many(generation, [indexed(name, name) for name in names])
    last = (await stores.items.delete_many(generation, names)).sequence
    return range(last - count + 1, last + 1)


def tombstones(folder: Path) -> list[int]:
    """The change sequences of all tombstones."""
    query = "SELECT change_sequence FROM items WHERE deleted ORDER BY change_sequence"
    return [sequence for (sequence,) in rows(folder, query)]


async def test_every_index_and_snapshot_passes_a_tombstone_first(tmp_path: Path) -> None:
    """A purge removes tombstones up to the index or the snapshot that is furthest behind."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        deletions = await write_and_delete(stores, generation, 5)
        for positions, removed in (
            ([], 0),
            ([(deletions[4], deletions[0]), (deletions[4], 0)], 1),
            ([(deletions[1], deletions[4]), (deletions[4], 0)], 2),
            ([(deletions[2], 0)], 3),
        ):
            await purge_of(stores, *positions).run_round()
            assert list(deletions[removed:]) == tombstones(tmp_path)


async def test_positions_of_other_catalogs_do_not_count(tmp_path: Path) -> None:
    """The index of one catalog says nothing of the tombstones of another one."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        deletions = await write_and_delete(stores, generation, 2)
        await purge_of(stores, (deletions[-1], 0), catalog_id=2).run_round()
        assert list(deletions) == tombstones(tmp_path)


async def test_many_tombstones_do_not_wait_for_a_snapshot(tmp_path: Path) -> None:
    """While writes never pause there is no new snapshot, but tombstones stay bounded."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        deletions = await write_and_delete(stores, generation, MAX_WAITING_TOMBSTONES + 1)
        await purge_of(stores, (deletions[-1], 1)).run_round()
        assert [] == tombstones(tmp_path)


async def test_other_processes_have_time_to_follow(tmp_path: Path) -> None:
    """With several workers a tombstone stays for some seconds."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        deletions = await write_and_delete(stores, generation, 2)
        purge = purge_of(stores, (deletions[-1], 0), shared=True)
        await purge.run_round()
        assert list(deletions) == tombstones(tmp_path)
        clock.advance(microseconds=int(SHARED_TOMBSTONE_SECONDS * 1e6))
        await purge.run_round()
        assert [] == tombstones(tmp_path)


async def test_paid_vectors_are_kept_for_the_retention_time(tmp_path: Path) -> None:
    """A round removes the vectors of a provider once they were unused for long enough."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await write_and_delete(stores, generation, 3)
        purge = purge_of(stores, retention_seconds=DAY_SECONDS)
        clock.advance(microseconds=int(DAY_SECONDS * 1e6) - 1)
        assert 0 == (await purge.run_round()).vectors
        clock.advance(microseconds=1)
        assert 3 == (await purge.run_round()).vectors
        assert Purged() == await purge.run_round()


async def test_a_new_paid_vector_stays_until_its_write_can_use_it(tmp_path: Path) -> None:
    """Without a retention time, a purge between a request and the write costs no second request."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        requests, purge = stores.embedding_requests, purge_of(stores)
        await requests.settle(Settlement(None, SPACE.fingerprint, item_chunks=chunks_of("tea")))
        clock.advance(seconds=MIN_RETENTION_SECONDS, microseconds=-1)
        assert 0 == (await purge.run_round()).vectors
        assert await requests.read_vectors(SPACE.fingerprint, [hash_text("tea")])
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        await requests.settle(Settlement(None, SPACE.fingerprint, item_chunks=chunks_of("rum")))
        clock.advance(seconds=MIN_RETENTION_SECONDS)
        assert 1 == (await purge.run_round()).vectors
        assert await requests.read_vectors(SPACE.fingerprint, [hash_text("tea")])


async def test_the_file_shrinks_with_its_contents(tmp_path: Path) -> None:
    """After items are gone, the file and its log are about as large as before they came."""
    file = tmp_path / "akin.sqlite3"
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("a", "tea")])
        await compaction_of(stores).truncate_log()
        before = file.stat().st_size
        deletions = await write_and_delete(stores, generation, ITEMS)
        await compaction_of(stores).truncate_log()
        full = file.stat().st_size
        clock.advance(seconds=MIN_RETENTION_SECONDS)
        purge = purge_of(stores, (deletions[-1], 0))
        purged = await purge.run_round()
        assert (ITEMS, ITEMS) == (purged.tombstones, purged.vectors)
        await purge.run_round()  # the first one after the last write: the log is emptied
        usage = await compaction_of(stores).read_usage()
        assert 0 == usage.log_bytes
        assert usage.pages * usage.page_bytes == file.stat().st_size
        assert file.stat().st_size == full - purged.released_bytes
        left = usage.page_bytes * (MIN_FREE_PAGES + 1)
        assert before <= file.stat().st_size <= before + left
    assert [("ok",)] == rows(tmp_path, "PRAGMA integrity_check")


async def test_a_reader_keeps_the_log(tmp_path: Path) -> None:
    """While another process reads, a round neither waits for it nor fails."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await write_and_delete(stores, generation, 3)
        with closing(sqlite3.connect(tmp_path / "akin.sqlite3", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert (0,) == reader.execute("SELECT count(*) FROM users").fetchone()
            await stores.items.upsert_many(generation, [indexed("a", "tea")])
            await compaction_of(stores).truncate_log()
            assert 0 < (await compaction_of(stores).read_usage()).log_bytes
            reader.execute("COMMIT")
        await compaction_of(stores).truncate_log()
        assert 0 == (await compaction_of(stores).read_usage()).log_bytes


async def test_an_older_database_is_left_as_it_is(tmp_path: Path) -> None:
    """Pages of a database without a map of its pages stay free, until it is vacuumed."""
    clock = FakeClock()
    async with opened(tmp_path, clock):
        pass
    with closing(sqlite3.connect(tmp_path / "akin.sqlite3", isolation_level=None)) as connection:
        connection.executescript("PRAGMA auto_vacuum = NONE; VACUUM")
    async with opened(tmp_path, clock) as (stores, generation):
        deletions = await write_and_delete(stores, generation, ITEMS)
        clock.advance(seconds=MIN_RETENTION_SECONDS)
        purged = await purge_of(stores, (deletions[-1], 0)).run_round()
        assert (ITEMS, 0) == (purged.vectors, purged.released_bytes)
        usage = await compaction_of(stores).read_usage()
        assert not usage.is_compactable
        assert 0 < usage.free_pages


async def test_a_stopped_server_is_purged_as_a_whole(tmp_path: Path) -> None:
    """Expired items, tombstones, unused vectors and deleted catalogs are all removed."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        await write_and_delete(stores, generation, 3)
        await stores.items.upsert_many(
            generation, [indexed("a", "tea"), indexed("b", "rum", clock.now_us + 1)]
        )
    purged = await purge_stopped(tmp_path, 0.0)
    assert (4, 4) == (purged.tombstones, purged.vectors)
    assert [("a",)] == rows(tmp_path, "SELECT item_id FROM items")
