import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE
from support.item_indexes import INDEX_THREADS, fail_to_open
from support.stores import chunks_of, delete_item, indexed, opened
from support.tasks import left

from service.domain.generations import Generation
from service.domain.index_stats import IndexStats
from service.domain.items import Change, Item
from service.domain.snapshot_files import MANIFEST_FILE
from service.domain.spaces import Model, VectorStorage
from service.files import NoRoomError
from service.index.faiss_segmented import SegmentedIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex, ItemIndexState
from service.index.maintenance import MIN_SNAPSHOT_CHANGES, IndexBuilder, SnapshotLoader
from service.index.restoring import Restorer
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.index.threads import IndexThreads
from service.storage.records import ItemVectors, ItemWrite
from service.storage.stores import Stores

_T = TypeVar("_T")

GRAPH_FROM = 300
POLL_SECONDS = 0.01
ITEMS = [indexed(f"i{n}", f"w{n} w{n % 7} w{n % 31}") for n in range(2 * GRAPH_FROM)]


def empty_item_index(storage: VectorStorage = VectorStorage.FLOAT32) -> ItemIndex:
    index = SegmentedIndex(
        DIMENSIONS, storage=storage, first_graph_vectors=GRAPH_FROM, next_graph_vectors=100
    )
    return ItemIndex(index, FakeClock())


def snapshots(folder: Path, stores: Stores, *, owner: bool) -> Snapshots:
    return Snapshots(
        folder / "index", SnapshotOrigin(stores.database.store_id, SPACE.fingerprint), owner=owner
    )


@asynccontextmanager
async def working(
    folder: Path, *, leads: bool
) -> AsyncIterator[tuple[Stores, Generation, Follower]]:
    """Yield a running process's stores and follower: the process that builds, or another one."""
    async with opened(folder, FakeClock()) as (stores, catalog):
        own = snapshots(folder, stores, owner=leads)
        restorer = Restorer(stores.items, catalog, own, empty_item_index, INDEX_THREADS)
        follower = Follower(stores.items, catalog, empty_item_index(), INDEX_THREADS, restorer.open)
        maintenance = (
            IndexBuilder(follower, own, INDEX_THREADS, shared=True)
            if leads
            else SnapshotLoader(follower, restorer)
        )
        tasks = [asyncio.create_task(part.run()) for part in (follower, maintenance)]
        try:
            yield stores, catalog, follower
        finally:
            for task in tasks:
                await left(task)


async def wait_for_graphs(follower: Follower, vectors: int) -> IndexStats:
    """Wait until this number of vectors is in graphs, with all their neighbor lists."""
    while True:
        stats = follower.collect_stats()
        has_lists = stats.neighbor_lists >= vectors
        if stats.graph_vectors == vectors and has_lists and not stats.building:
            return stats
        await asyncio.sleep(POLL_SECONDS)


async def wait_for_snapshot(snapshots: Snapshots) -> None:
    """Wait until a snapshot was saved."""
    while True:
        if snapshots.has_new():
            return
        await asyncio.sleep(POLL_SECONDS)


async def search(stores: Stores, follower: Follower) -> object:
    """Search for some items by key, after applying every write."""
    await follower.wait_for(await stores.database.refresh())

    def work(item_index: ItemIndex) -> object:
        keys = item_index.find_keys(f"i{n}" for n in range(0, GRAPH_FROM, 50))
        hits = [
            item_index.rank_hits(item_index.vectors.search_by_key(key, 5, exact=True), 5)
            for key in keys
        ]
        best = [[(name, round(score, 4)) for name, score, _ in ranked] for ranked in hits]
        return item_index.sequence, len(item_index), best

    return await follower.read(work, queries=1)


async def test_one_builds_for_all(tmp_path: Path) -> None:
    """The other processes use the graphs and neighbor lists that one process builds."""
    async with (
        working(tmp_path, leads=True) as (stores, catalog, leader),
        working(tmp_path, leads=False) as (other, _, follower),
    ):
        await stores.items.upsert_many(catalog, ITEMS[:GRAPH_FROM])
        built = await wait_for_graphs(leader, GRAPH_FROM)
        await other.database.refresh()
        assert built == await wait_for_graphs(follower, GRAPH_FROM)
        assert await search(stores, leader) == await search(other, follower)


async def test_writes_after_a_snapshot_are_not_lost(tmp_path: Path) -> None:
    """After loading an older snapshot the index has every later write, and no deleted item."""
    async with working(tmp_path, leads=True) as (stores, catalog, leader):
        await stores.items.upsert_many(catalog, ITEMS[:GRAPH_FROM])
        await wait_for_graphs(leader, GRAPH_FROM)
        async with working(tmp_path, leads=False) as (other, same, follower):
            await other.items.upsert_many(same, ITEMS[GRAPH_FROM : GRAPH_FROM + 50])
            deleted = await delete_item(other, same, "i0")
            await follower.wait_for(deleted)
            await wait_for_graphs(follower, GRAPH_FROM - 1)
            await stores.database.refresh()
            assert await search(stores, leader) == await search(other, follower)
            assert GRAPH_FROM + 49 == follower.item_count


class HeldThreads(IndexThreads):
    """Threads in which builds do not begin before they are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.has_build = asyncio.Event()

    async def build(
        self, work: Callable[..., _T], *args: object, stop: Callable[[], None] = lambda: None
    ) -> _T:
        """Wait until cancelled."""
        self.has_build.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_builder_continues_after_another_process_took_over(tmp_path: Path) -> None:
    """A builder that was stopped during a build builds again once it has its duty again."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        follower = Follower(stores.items, catalog, empty_item_index(), INDEX_THREADS, fail_to_open)
        own, held = snapshots(tmp_path, stores, owner=True), HeldThreads()
        builder = IndexBuilder(follower, own, held, shared=True)
        following = asyncio.create_task(follower.run())
        await stores.items.upsert_many(catalog, ITEMS[:GRAPH_FROM])
        building = asyncio.create_task(builder.run())
        await held.has_build.wait()
        await left(building)
        await stores.items.upsert_many(catalog, [ITEMS[0], *ITEMS[GRAPH_FROM : GRAPH_FROM + 20]])
        await delete_item(stores, catalog, "i1")
        builder._threads = INDEX_THREADS
        building = asyncio.create_task(builder.run())
        await wait_for_graphs(follower, GRAPH_FROM + 19)
        assert GRAPH_FROM + 19 == follower.item_count
        for task in (building, following):
            await left(task)
        held.close()


async def test_a_build_of_a_replaced_index_is_dropped(tmp_path: Path) -> None:
    """An index that is replaced during a build gets no graph of the former one."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, ITEMS[:GRAPH_FROM])
        follower = Follower(stores.items, catalog, empty_item_index(), INDEX_THREADS, fail_to_open)
        following = asyncio.create_task(follower.run())
        await follower.wait_for_all()
        build = await follower.start_build(quiet=True)
        assert build is not None
        build.run()
        assert await follower.replace_index(empty_item_index())
        await follower.finish_build(build)
        stats = follower.collect_stats()
        assert (GRAPH_FROM, 0, False) == (stats.vectors, stats.graph_vectors, stats.building)
        assert await follower.start_build(quiet=True) is not None
        await left(following)


async def test_only_the_owner_removes_a_damaged_snapshot(tmp_path: Path) -> None:
    """A process that does not own the snapshots does not remove an unusable one."""
    async with working(tmp_path, leads=True) as (stores, catalog, leader):
        await stores.items.upsert_many(catalog, ITEMS[:GRAPH_FROM])
        await wait_for_graphs(leader, GRAPH_FROM)
    manifest = tmp_path / "index" / MANIFEST_FILE
    manifest.write_text("{}")
    async with opened(tmp_path, FakeClock()) as (stores, _):
        for owner in (False, True):
            assert manifest.exists()
            loaded = snapshots(tmp_path, stores, owner=owner).load(
                empty_item_index(), stores.database.commits.last_sequence
            )
            assert not loaded
        assert not manifest.exists()


async def test_a_failed_snapshot_is_logged(tmp_path: Path) -> None:
    """If a snapshot cannot be written, that is logged, and the index keeps working."""
    (tmp_path / "index").write_text("where the folder should be")
    async with working(tmp_path, leads=True) as (stores, catalog, leader):
        await stores.items.upsert_many(catalog, ITEMS[:GRAPH_FROM])
        with capture_logs() as lines:
            await wait_for_graphs(leader, GRAPH_FROM)
            await stores.items.upsert_many(catalog, ITEMS[GRAPH_FROM:])
            await leader.wait_for(stores.database.commits.last_sequence)
            assert 2 * GRAPH_FROM == leader.item_count
    assert "snapshot_failed" in [line["event"] for line in lines]


class FullDisk(Snapshots):
    """Snapshots whose disk has no room, or fails, as long as `error` is set."""

    error: OSError | None = None

    def save(self, state: ItemIndexState, reserve_bytes: int = 0) -> None:
        """Save, or raise the error."""
        if self.error is not None:
            raise self.error
        super().save(state, reserve_bytes)


async def test_a_failure_that_goes_on_is_logged_once(tmp_path: Path) -> None:
    """Attempts that fail alike log one line; another kind, or a failure after a success, logs."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        follower = Follower(stores.items, catalog, empty_item_index(), INDEX_THREADS, fail_to_open)
        full = FullDisk(tmp_path / "index", SnapshotOrigin("store", "space"))
        builder = IndexBuilder(follower, full, INDEX_THREADS, shared=False)
        following = asyncio.create_task(follower.run())
        no_room, failed = NoRoomError("too little"), OSError(errno.EIO, "the disk fails")
        with capture_logs() as lines:
            for error in (no_room, no_room, failed, failed, None, None, no_room, no_room):
                full.error = error
                await builder._save_snapshot()
        await left(following)
    events = ["snapshot_skipped", "snapshot_failed", "snapshot_saved", "snapshot_saved"]
    assert [*events, "snapshot_skipped"] == [line["event"] for line in lines]


@pytest.mark.slow
async def test_an_idle_catalog_is_not_saved_for_the_writes_of_others(tmp_path: Path) -> None:
    """Writes to one catalog make its snapshot due, and that of no other catalog."""
    async with opened(tmp_path, FakeClock()) as (stores, busy):
        await stores.generations.create_catalog("idle", Model(SPACE), VectorStorage.FLOAT32)
        record = (await stores.generations.list_catalogs())["idle"]
        idle = record.serving.generation
        tasks = []
        saved = {}
        for name, catalog in (("idle", idle), ("busy", busy)):
            item_index = ItemIndex(SegmentedIndex(DIMENSIONS), FakeClock())
            follower = Follower(stores.items, catalog, item_index, INDEX_THREADS, fail_to_open)
            folder = tmp_path / "index" / name
            saved[name] = Snapshots(folder, SnapshotOrigin("store", "space"))
            builder = IndexBuilder(follower, saved[name], INDEX_THREADS, shared=False)
            tasks += [asyncio.create_task(part.run()) for part in (follower, builder)]
        await stores.items.upsert_many(idle, [indexed("a", "tea")])
        words = chunks_of("tea")
        for start in range(0, MIN_SNAPSHOT_CHANGES, 2_000):
            writes = [
                ItemWrite(Item(f"i{n}", "tea"), ItemVectors(words))
                for n in range(start, start + 2_000)
            ]
            await stores.items.upsert_many(busy, writes)
        # That of the idle catalog would be due first: it has been quiet for longer.
        await wait_for_snapshot(saved["busy"])
        for task in tasks:
            await left(task)
        assert not saved["idle"].has_new()


@pytest.mark.slow
async def test_long_builds_are_saved(tmp_path: Path) -> None:
    """What was built for thousands of vectors is saved, however few changes there were since."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        item_index = ItemIndex(SegmentedIndex(DIMENSIONS), FakeClock())
        follower = Follower(stores.items, catalog, item_index, INDEX_THREADS, fail_to_open)
        saved = Snapshots(tmp_path / "index", SnapshotOrigin("store", "space"))
        builder = IndexBuilder(follower, saved, INDEX_THREADS, shared=False)
        tasks = [asyncio.create_task(part.run()) for part in (follower, builder)]
        count = MIN_SNAPSHOT_CHANGES // 2
        words = chunks_of("tea")
        for start in range(0, count, 1_000):
            numbers = range(start, min(start + 1_000, count))
            writes = [ItemWrite(Item(f"i{n}", "tea"), ItemVectors(words)) for n in numbers]
            await stores.items.upsert_many(catalog, writes)
        await wait_for_snapshot(saved)
        assert follower.change_count < MIN_SNAPSHOT_CHANGES
        for task in tasks:
            await left(task)


async def test_an_old_snapshot_costs_no_more_at_the_next_start(tmp_path: Path) -> None:
    """From an old sequence number on, a catalog reads its own changes and no others."""
    async with opened(tmp_path, FakeClock()) as (stores, busy):
        await stores.generations.create_catalog("idle", Model(SPACE), VectorStorage.FLOAT32)
        idle = (await stores.generations.list_catalogs())["idle"].serving.generation
        await stores.items.upsert_many(idle, [indexed("a", "tea")])
        snapshot_sequence = stores.database.commits.last_sequence
        await stores.items.upsert_many(busy, ITEMS)
        (stored,) = await stores.items.upsert_many(idle, [indexed("b", "tea")])
        changes, reached, *_ = await stores.items.changes(idle, snapshot_sequence, 10)
        assert ["b"] == [change.item_id for change in changes]
        assert stored.sequence == reached


def test_unwritable_index_files_raise_os_errors(tmp_path: Path) -> None:
    """Graphs, PQ codes and bits that cannot be written raise OSError, as other files do."""
    item_index = empty_item_index(VectorStorage.INT8)
    changes = [
        Change(write.item.item_id, "{}", (write.vectors.chunks[0].vector.tobytes(),), None)
        for write in ITEMS[:GRAPH_FROM]
    ]
    item_index.apply(changes, GRAPH_FROM)
    build = item_index.maintenance.start_build(quiet=True)
    assert build is not None
    build.run()
    item_index.maintenance.finish_build(build)
    files = item_index.capture().files
    assert 3 == len(files)
    for file in files.values():
        with pytest.raises(OSError, match="cannot be written"):
            file.write(tmp_path / "no such folder" / "file")
