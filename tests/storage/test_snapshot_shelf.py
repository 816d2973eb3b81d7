import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE
from support.item_indexes import INDEX_THREADS
from support.postgres import database_of, query_database
from support.stores import indexed, opened
from support.tasks import left

from service import errors
from service.domain.generations import Generation
from service.domain.snapshot_files import MANIFEST_FILE
from service.domain.spaces import Model, VectorStorage
from service.index.faiss_segmented import SegmentedIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.maintenance import IndexBuilder, SnapshotLoader
from service.index.publishing import SnapshotDownloader, SnapshotPublisher
from service.index.restoring import Restorer
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.storage.postgres.commit_history import KEPT_COMMITS
from service.storage.postgres.snapshot_shelf import SNAPSHOT_PIECE_BYTES, PostgresShelf
from service.storage.stores import Stores

pytestmark = pytest.mark.postgres

GRAPH_FROM = 300
POLL_SECONDS = 0.01
ITEMS = [indexed(f"i{n}", f"w{n} w{n % 7} w{n % 31}") for n in range(2 * GRAPH_FROM)]


def empty_item_index() -> ItemIndex:
    return ItemIndex(
        SegmentedIndex(DIMENSIONS, first_graph_vectors=GRAPH_FROM, next_graph_vectors=100),
        FakeClock(),
    )


class Replica(NamedTuple):
    """The parts of one replica that deal with the snapshots of a generation."""

    stores: Stores
    catalog: Generation
    snapshots: Snapshots
    restorer: Restorer
    publisher: SnapshotPublisher


@asynccontextmanager
async def joined(database: Path, folder: Path) -> AsyncIterator[Replica]:
    """Yield a replica over the database of a folder, with a data folder of its own."""
    async with opened(database, FakeClock()) as (stores, catalog):
        shelf = PostgresShelf(stores.database, database_of(database), catalog.generation_id)
        origin = SnapshotOrigin(stores.database.store_id, SPACE.fingerprint)
        snapshots = Snapshots(folder / "index", origin)
        downloader = SnapshotDownloader(stores.items, snapshots, shelf)
        yield Replica(
            stores,
            catalog,
            snapshots,
            Restorer(stores.items, catalog, snapshots, empty_item_index, INDEX_THREADS, downloader),
            SnapshotPublisher(stores.items, snapshots, shelf),
        )


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    while True:
        if holds():
            return
        await asyncio.sleep(POLL_SECONDS)


async def build(replica: Replica, items: int) -> None:
    """Write items, and save a snapshot that has all of them."""
    await replica.stores.items.upsert_many(replica.catalog, ITEMS[:items])
    follower = Follower(
        replica.stores.items,
        replica.catalog,
        await replica.restorer.open(),
        INDEX_THREADS,
        replica.restorer.open,
    )
    builder = IndexBuilder(follower, replica.snapshots, INDEX_THREADS, shared=True)
    tasks = [asyncio.create_task(work) for work in (follower.run(), builder.run())]
    last_sequence = replica.stores.database.commits.last_sequence
    await until(lambda: builder.position.saved >= last_sequence)
    for task in tasks:
        await left(task)


def published_files(database: Path) -> set[str]:
    """The names of all files that are published."""
    return {name for (name,) in query_database(database, "SELECT file FROM snapshot_pieces")}


async def test_a_new_replica_starts_from_the_published_snapshot(tmp_path: Path) -> None:
    """A replica with an empty folder has the graphs of another one, whose machine is gone."""
    async with joined(tmp_path, tmp_path / "first") as first:
        await build(first, GRAPH_FROM)
        await first.publisher.publish()
    async with joined(tmp_path, tmp_path / "second") as second:
        with capture_logs() as lines:
            item_index = await second.restorer.open()
        assert ["snapshot_downloaded", "snapshot_loaded"] == [line["event"] for line in lines]
        assert GRAPH_FROM == len(item_index)
        assert GRAPH_FROM == count_graph_vectors(item_index)
        assert item_index.sequence == second.stores.database.commits.last_sequence


def count_graph_vectors(item_index: ItemIndex) -> int:
    """The number of vectors in the graphs of an index."""
    return item_index.maintenance.collect_stats().graph_vectors


def has_loaded(replica: Replica, follower: Follower, graph_vectors: int, source: Replica) -> bool:
    """Whether a replica has the snapshot of another one, and its index has these graphs."""
    has_files = replica.snapshots.read_manifest() == source.snapshots.read_manifest()
    return has_files and follower.collect_stats().graph_vectors == graph_vectors


async def follow_others(stores: Stores) -> None:
    """Look for the writes of other processes, also if a notification came too early."""
    while True:
        await stores.database.follow_others()


async def test_a_newer_snapshot_replaces_the_published_one(tmp_path: Path) -> None:
    """Another replica loads each new snapshot, and nothing is left of former ones."""
    async with (
        joined(tmp_path, tmp_path / "first") as first,
        joined(tmp_path, tmp_path / "second") as second,
    ):
        follower = Follower(
            second.stores.items,
            second.catalog,
            await second.restorer.open(),
            INDEX_THREADS,
            second.restorer.open,
        )
        loader = SnapshotLoader(follower, second.restorer)
        works = (follower.run(), loader.run(), follow_others(second.stores))
        tasks = [asyncio.create_task(work) for work in works]
        for items in (GRAPH_FROM, 2 * GRAPH_FROM):
            await build(first, items)
            await first.publisher.publish()
            saved = count_graph_vectors(await first.restorer.open())
            await until(partial(has_loaded, second, follower, saved, first))
        await left(*tasks)
        manifest = first.snapshots.read_manifest()
        assert manifest is not None
        assert manifest[1].files.keys() == published_files(tmp_path)


DAMAGES = {
    "cut": "UPDATE snapshot_pieces SET data = substr(data, 1, 100)",
    "changed": "UPDATE snapshot_pieces SET data = set_byte(data, 99, 255 - get_byte(data, 99))",
    "missing": "DELETE FROM snapshot_pieces WHERE file LIKE 'arrays-%'",
    "no manifest": "DELETE FROM snapshots",
    "another manifest": "UPDATE snapshots SET manifest = '{}'",
    "another store": "UPDATE snapshots SET manifest = replace(manifest, 'store_id\":\"', '\\&x')",
    "a foreign name": "UPDATE snapshots SET manifest = replace(manifest, 'arrays-', '../arrays-')",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_published_snapshot_is_not_used(tmp_path: Path, damage: str) -> None:
    """If anything of it is missing or changed, the index is built from the store."""
    async with joined(tmp_path, tmp_path / "first") as first:
        await build(first, GRAPH_FROM)
        await first.publisher.publish()
    query_database(tmp_path, DAMAGES[damage])
    async with joined(tmp_path, tmp_path / "second") as second:
        item_index = await second.restorer.open()
        assert (0, 0) == (item_index.sequence, len(item_index))
        assert not (tmp_path / "second" / "index" / MANIFEST_FILE).exists()


async def test_a_snapshot_is_published_again_after_a_crash(tmp_path: Path) -> None:
    """What the database server lost by a crash is published again, and only then."""
    async with joined(tmp_path, tmp_path / "first") as first:
        await build(first, GRAPH_FROM)
        with capture_logs() as lines:
            await first.publisher.publish()
            published = published_files(tmp_path)
            await first.publisher.publish()
            query_database(tmp_path, "TRUNCATE snapshots, snapshot_pieces")
            await first.publisher.publish()
        assert ["snapshot_published"] * 2 == [line["event"] for line in lines]
        assert published == published_files(tmp_path)


async def test_an_older_snapshot_is_not_published(tmp_path: Path) -> None:
    """A replica with an old folder that takes over does not replace a newer snapshot."""
    async with (
        joined(tmp_path, tmp_path / "first") as first,
        joined(tmp_path, tmp_path / "second") as second,
    ):
        await build(first, GRAPH_FROM)
        await build(second, 2 * GRAPH_FROM)
        await second.publisher.publish()
        published = published_files(tmp_path)
        await first.publisher.publish()
        assert published == published_files(tmp_path)


async def test_published_snapshots_of_gone_generations_are_removed(tmp_path: Path) -> None:
    """The purge removes what was published for a dropped generation, and nothing else."""
    async with joined(tmp_path, tmp_path / "first") as first:
        await build(first, GRAPH_FROM)
        await first.publisher.publish()
        published = published_files(tmp_path)
        await first.stores.generations.create_catalog("shop", Model(SPACE), VectorStorage.FLOAT32)
        (number,) = query_database(tmp_path, "SELECT max(generation_id) FROM generations")[0]
        for statement in (
            f"INSERT INTO snapshots VALUES ({number}, 0, '')",  # noqa: S608
            f"""INSERT INTO snapshot_pieces
                SELECT {number}, 'x', n, '' FROM generate_series(1, 99) AS n""",  # noqa: S608
        ):
            query_database(tmp_path, statement)
        assert 0 == await first.stores.database.prune()
        await first.stores.generations.delete_catalog("shop")
        while await first.stores.database.prune():
            pass
        assert published == published_files(tmp_path)
        assert [(1,)] == query_database(tmp_path, "SELECT count(*) FROM snapshots")


async def test_the_commit_of_a_published_snapshot_is_kept(tmp_path: Path) -> None:
    """However many commits follow, the store confirms a snapshot of a catalog without writes."""
    async with joined(tmp_path, tmp_path / "first") as first:
        await build(first, GRAPH_FROM)
        await first.publisher.publish()
        numbers = f"generate_series(1001, {1_001 + KEPT_COMMITS}) AS number"
        query_database(
            tmp_path,
            f"INSERT INTO commits SELECT number, number FROM {numbers}",  # noqa: S608
        )
        while await first.stores.database.prune():
            pass
    async with joined(tmp_path, tmp_path / "second") as second:
        assert GRAPH_FROM == len(await second.restorer.open())


async def test_two_publishers_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Of two that publish the same files at once, the second one is refused or finds them."""
    files = {name: tmp_path / name for name in ("graph-1.faiss", "graph-2.faiss")}
    for path in files.values():
        path.write_bytes(bytes(5 * SNAPSHOT_PIECE_BYTES))
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        shelf = PostgresShelf(stores.database, database_of(tmp_path), catalog.generation_id)
        outcomes = await asyncio.gather(
            *(shelf.publish("manifest", 1, files) for _ in range(4)), return_exceptions=True
        )
        assert None in outcomes
        assert {type(None), errors.StoreUnavailable} >= set(map(type, outcomes))
        assert await shelf.has_files(dict.fromkeys(files, 5 * SNAPSHOT_PIECE_BYTES))
        assert not await shelf.has_files({"graph-1.faiss": SNAPSHOT_PIECE_BYTES})
        await shelf.publish("manifest", 1, files)  # nobody else has the lock any more


@pytest.mark.parametrize("missing", ["", "WHERE file LIKE 'arrays-%'"])
async def test_a_published_snapshot_without_its_files_is_repaired(
    tmp_path: Path, missing: str
) -> None:
    """Files that are missing are published again, although the manifest is there."""
    async with joined(tmp_path, tmp_path / "first") as first:
        await build(first, GRAPH_FROM)
        await first.publisher.publish()
        published = published_files(tmp_path)
        query_database(tmp_path, f"DELETE FROM snapshot_pieces {missing}")  # noqa: S608
        await first.publisher.publish()
        assert published == published_files(tmp_path)


async def test_a_snapshot_without_a_place_in_the_history_is_saved_again(tmp_path: Path) -> None:
    """If a crash lost the place of an idle catalog's snapshot, a new replica still has one."""
    async with joined(tmp_path, tmp_path / "first") as first:
        stores = first.stores
        await stores.items.upsert_many(first.catalog, ITEMS[:GRAPH_FROM])
        follower = Follower(
            stores.items,
            first.catalog,
            await first.restorer.open(),
            INDEX_THREADS,
            first.restorer.open,
        )
        builder = IndexBuilder(follower, first.snapshots, INDEX_THREADS, shared=True)
        tasks = [asyncio.create_task(work) for work in (follower.run(), builder.run())]
        await until(lambda: builder.position.saved >= stores.database.commits.last_sequence)
        await publish_in_the_end(first, tmp_path)
        await lose_place(tmp_path, stores)
        # Only then has the index a place in the history that the store still knows.
        await follower.wait_for(stores.database.commits.last_sequence)
        await publish_in_the_end(first, tmp_path)
        await left(*tasks)
    async with joined(tmp_path, tmp_path / "second") as second:
        assert GRAPH_FROM == len(await second.restorer.open())


async def publish_in_the_end(replica: Replica, folder: Path) -> None:
    """Publish again and again, as a server does: the builder may replace the files."""
    while not published_files(folder):
        with suppress(FileNotFoundError):
            await replica.publisher.publish()


async def lose_place(folder: Path, stores: Stores) -> None:
    """Let the server lose the published snapshots, and prune the commits of idle catalogs."""
    numbers = f"generate_series(1001, {1_000 + KEPT_COMMITS}) AS number"
    for statement in (
        "TRUNCATE snapshots, snapshot_pieces",
        f"INSERT INTO commits SELECT number, number FROM {numbers}",  # noqa: S608
    ):
        query_database(folder, statement)
    other = await stores.generations.create_catalog("shop", Model(SPACE), VectorStorage.FLOAT32)
    await stores.items.upsert_many(other.serving.generation, ITEMS[:1])
    while await stores.database.prune():
        pass
