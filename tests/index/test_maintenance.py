import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE
from support.item_indexes import INDEX_THREADS
from support.stores import delete_item, indexed, opened
from support.tasks import left

from service.domain.generations import Generation
from service.domain.index_stats import IndexStats
from service.domain.items import Change
from service.domain.snapshot_files import MANIFEST_FILE
from service.index.faiss_segmented import SegmentedIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.maintenance import IndexBuilder, SnapshotLoader
from service.index.snapshots import SnapshotOrigin, Snapshots
from service.storage.stores import Stores

GRAPH_FROM = 300
POLL_SECONDS = 0.01
ITEMS = [indexed(f"i{n}", f"w{n} w{n % 7} w{n % 31}") for n in range(2 * GRAPH_FROM)]


def empty_item_index() -> ItemIndex:
    return ItemIndex(
        SegmentedIndex(DIMENSIONS, first_graph_vectors=GRAPH_FROM, next_graph_vectors=100),
        FakeClock(),
    )


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
        follower = Follower(stores.items, catalog, empty_item_index(), INDEX_THREADS)
        own = snapshots(folder, stores, owner=leads)
        maintenance = (
            IndexBuilder(follower, own, INDEX_THREADS, shared=True)
            if leads
            else SnapshotLoader(stores.items, follower, own, empty_item_index, INDEX_THREADS)
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


def test_unwritable_index_files_raise_os_errors(tmp_path: Path) -> None:
    """Graphs and PQ codes that cannot be written raise OSError, as other files do."""
    item_index = empty_item_index()
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
    assert 2 == len(files)
    for file in files.values():
        with pytest.raises(OSError, match="cannot be written"):
            file.write(tmp_path / "no such folder" / "file")
