import asyncio
import threading
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.embedders import DIMENSIONS
from support.item_indexes import INDEX_THREADS
from support.lost_commits import lose_commits
from support.postgres import database_of, query_database
from support.stores import GIVE_UP_SECONDS, all_items, indexed, opened
from support.tasks import left

from service import errors
from service.domain.generations import Generation
from service.domain.items import ChangeBatch, Item
from service.index.faiss_exact import ExactIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.restoring import Restorer
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.storage.postgres.commit_history import KEPT_COMMITS, PRUNED_ROWS
from service.storage.postgres.postgres_connections import PostgresConnection
from service.storage.postgres.postgres_session import PostgresSession
from service.storage.stores import Stores
from service.storage.writer import Transaction

pytestmark = pytest.mark.postgres

POLL_SECONDS = 0.01
READ_LIMIT = 7
LOST_ITEMS = 3


def empty_item_index() -> ItemIndex:
    return ItemIndex(ExactIndex(DIMENSIONS), FakeClock())


async def follow_others(stores: Stores) -> None:
    """Do what keeps a process informed of the writes of others."""
    while True:
        try:
            await stores.database.follow_others()
        except errors.AkinError:
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def following(
    folder: Path, stores: Stores, catalog: Generation
) -> AsyncIterator[tuple[Follower, Snapshots]]:
    """Yield a follower that runs, and the snapshots of its index."""
    snapshots = Snapshots(folder / "index", SnapshotOrigin(stores.database.store_id, "space"))
    restorer = Restorer(stores.items, catalog, snapshots, empty_item_index, INDEX_THREADS)
    follower = Follower(stores.items, catalog, await restorer.open(), INDEX_THREADS, restorer.open)
    tasks = [asyncio.create_task(work) for work in (follower.run(), follow_others(stores))]
    try:
        yield follower, snapshots
    finally:
        for task in tasks:
            await left(task)


async def indexed_texts(follower: Follower) -> dict[str, bytes]:
    """The vector of each item in a follower's index, by id."""

    def read(item_index: ItemIndex) -> dict[str, bytes]:
        ids = item_index.get_ids(item_index.list_keys(None).tolist())
        keys = item_index.find_keys(ids)
        return {
            item_id: item_index.vectors.get([key]).vectors.tobytes()
            for item_id, key in zip(ids, keys, strict=True)
        }

    return await follower.read(read, queries=1)


async def stored_texts(stores: Stores, catalog: Generation) -> dict[str, bytes]:
    """The vector of each item in a store, by id."""
    return {
        item.item.item_id: indexed("", item.item.text).vectors.chunks[0].vector.tobytes()
        for item in await all_items(stores, catalog)
    }


async def test_no_reader_misses_a_write(tmp_path: Path) -> None:
    """Once a reader has reached a write's number it has the write, however many write at once."""
    clock, seen, sequences = FakeClock(), dict[str, int](), dict[str, int]()
    async with opened(tmp_path, clock) as (reader, catalog):
        writers = 4
        done = asyncio.Event()

        async def write(number: int) -> None:
            async with opened(tmp_path, clock) as (stores, same):

                async def write_some(lane: int) -> None:
                    for step in range(10):
                        item_id = f"{number}-{lane}-{step}"
                        (stored,) = await stores.items.upsert_many(same, [indexed(item_id, "tea")])
                        sequences[item_id] = stored.sequence

                await asyncio.gather(*(write_some(lane) for lane in range(4)))

        async def read() -> None:
            after, anchor = 0, ChangeBatch((), 0, 0).anchor
            while True:
                is_last = done.is_set()
                batch = await reader.items.changes(catalog, after, READ_LIMIT, anchor)
                assert batch.is_confirmed
                for change in batch.changes:
                    assert change.item_id not in seen
                    seen[change.item_id] = batch.reached
                acknowledged = {name for name, number in sequences.items() if number <= after}
                assert acknowledged <= seen.keys()
                after, anchor = batch.reached, batch.anchor
                if is_last and not batch.changes:
                    return

        reading = asyncio.create_task(read())
        await asyncio.gather(*(write(number) for number in range(writers)))
        done.set()
        await reading
    assert sequences.keys() == seen.keys()
    assert len(set(sequences.values())) == len(sequences)
    assert all(sequences[item_id] <= reached for item_id, reached in seen.items())


class NumberingSession(PostgresSession):
    """Takes numbers from a sequence object, so that it does not wait for other transactions."""

    def _begin_on(self, connection: psycopg.Connection[Any]) -> Transaction:
        connection.execute("BEGIN")
        (number,) = connection.execute("SELECT nextval('numbers')").fetchone() or (0,)
        self._last_sequence = number - 1
        return Transaction(PostgresConnection(connection), number - 1, 1_000_000, 1_000_000)


@pytest.mark.parametrize("takes_lock", [True, False])
async def test_numbers_become_visible_in_order(tmp_path: Path, *, takes_lock: bool) -> None:
    """A reader passes no number whose transaction still runs; it would with a sequence object."""
    clock, has_number, may_end = FakeClock(), threading.Event(), threading.Event()
    async with (
        opened(tmp_path, clock) as (slow, catalog),
        opened(tmp_path, clock) as (fast, _),
    ):
        (stored,) = await slow.items.upsert_many(catalog, [indexed("slow", "tea")])
        if not takes_lock:
            query_database(tmp_path, "CREATE SEQUENCE numbers START 100")
            for stores in (slow, fast):
                database = stores.database
                database._session.close()
                database._session = NumberingSession(database_of(tmp_path), clock)
                database._writer._session = database._session

        def change(item: Item) -> Item:
            has_number.set()
            may_end.wait(GIVE_UP_SECONDS)
            return item

        held = asyncio.create_task(slow.items.update(catalog, "slow", change))
        await asyncio.to_thread(has_number.wait, GIVE_UP_SECONDS)
        overtaking = asyncio.create_task(fast.items.upsert_many(catalog, [indexed("fast", "rum")]))
        if takes_lock:
            await until_blocked(tmp_path)
        else:
            await overtaking
        first = await fast.items.changes(catalog, stored.sequence, 10)
        may_end.set()
        await asyncio.gather(held, overtaking)
        second = await fast.items.changes(catalog, first.reached, 10)
    seen = {change.item_id for batch in (first, second) for change in batch.changes}
    assert ({"slow", "fast"} if takes_lock else {"fast"}) == seen


async def until_blocked(folder: Path) -> None:
    """Wait until a session waits for the lock of another one."""
    query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while True:
        if await asyncio.to_thread(query_database, folder, query):
            return
        await asyncio.sleep(POLL_SECONDS)


async def until_logged(lines: Sequence[MutableMapping[str, Any]], event: str) -> None:
    """Wait until an event is in a captured log."""
    while True:
        if event in [line["event"] for line in lines]:
            return
        await asyncio.sleep(POLL_SECONDS)


@pytest.mark.parametrize("new_items", [0, 1, LOST_ITEMS, LOST_ITEMS + 2])
async def test_a_view_has_no_lost_write(tmp_path: Path, new_items: int) -> None:
    """After lost commits the index equals the store, however many others have their numbers."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        opened(tmp_path, clock) as (other, same),
        following(tmp_path, stores, catalog) as (follower, _),
    ):
        (stored,) = await stores.items.upsert_many(catalog, [indexed("kept", "tea")])
        for number in range(LOST_ITEMS):
            (lost,) = await stores.items.upsert_many(catalog, [indexed(f"lost{number}", "rum")])
        await follower.wait_for(lost.sequence)
        with capture_logs() as lines:
            await asyncio.to_thread(lose_commits, tmp_path, stored.sequence)
            for number in range(new_items):
                (stored,) = await other.items.upsert_many(same, [indexed(f"new{number}", "gin")])
            await until_logged(lines, "history_followed")
            await follower.wait_for(stored.sequence)
        assert stored.sequence == await stores.database.refresh()
        assert await stored_texts(other, same) == await indexed_texts(follower)
    events = [line["event"] for line in lines]
    assert 1 == events.count("history_lost")


@pytest.mark.parametrize("new_items", [1, LOST_ITEMS, LOST_ITEMS + 2])
async def test_a_writer_reads_its_write_after_lost_ones(tmp_path: Path, new_items: int) -> None:
    """A write with the number of a lost one is in the index once it has been waited for."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(tmp_path, stores, catalog) as (follower, _),
    ):
        (stored,) = await stores.items.upsert_many(catalog, [indexed("kept", "tea")])
        for number in range(LOST_ITEMS):
            (lost,) = await stores.items.upsert_many(catalog, [indexed(f"lost{number}", "rum")])
        await follower.wait_for(lost.sequence)
        await asyncio.to_thread(lose_commits, tmp_path, stored.sequence)
        writes = [indexed(f"new{number}", "gin") for number in range(new_items)]
        for written in await stores.items.upsert_many(catalog, writes):
            await follower.wait_for(written.sequence)
            assert await stored_texts(stores, catalog) == await indexed_texts(follower)


async def test_waiting_for_a_lost_write_fails(tmp_path: Path) -> None:
    """A call that waits for a write fails once the store has lost it."""
    async with (
        opened(tmp_path, FakeClock()) as (stores, catalog),
        following(tmp_path, stores, catalog) as (follower, _),
    ):
        (stored,) = await stores.items.upsert_many(catalog, [indexed("kept", "tea")])
        (lost,) = await stores.items.upsert_many(catalog, [indexed("lost", "rum")])
        await follower.wait_for(lost.sequence)
        waiting = asyncio.create_task(follower.wait_for(lost.sequence + 5))
        await asyncio.to_thread(lose_commits, tmp_path, stored.sequence)
        with pytest.raises(errors.StoreUnavailable):
            await waiting


@pytest.mark.parametrize("has_lost", [False, True])
async def test_a_snapshot_with_lost_writes_is_dropped(tmp_path: Path, *, has_lost: bool) -> None:
    """A start uses the snapshot only if the store still has the writes that are in it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        async with following(tmp_path, stores, catalog) as (follower, snapshots):
            (stored,) = await stores.items.upsert_many(catalog, [indexed("kept", "tea")])
            (lost,) = await stores.items.upsert_many(catalog, [indexed("lost", "rum")])
            await follower.wait_for(lost.sequence)
            snapshots.save(await follower.capture())
        if has_lost:
            await asyncio.to_thread(lose_commits, tmp_path, stored.sequence)
        await stores.items.upsert_many(catalog, [indexed(name, "gin") for name in "abc"])
        with capture_logs() as lines:
            async with following(tmp_path, stores, catalog) as (follower, _):
                await follower.wait_for_all()
                assert await stored_texts(stores, catalog) == await indexed_texts(follower)
    events = [line["event"] for line in lines]
    assert (["snapshot_loaded", "snapshot_dropped"] if has_lost else ["snapshot_loaded"]) == events


async def test_old_commits_are_pruned(tmp_path: Path) -> None:
    """The latest commits stay, with a number or without, and older ones are removed in rounds."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        old = (await stores.items.changes(catalog, 0, 10)).anchor
        numbers = f"generate_series(1001, {1_000 + KEPT_COMMITS + PRUNED_ROWS}) AS number"
        query_database(tmp_path, f"INSERT INTO commits SELECT number, number FROM {numbers}")  # noqa: S608
        query_database(tmp_path, f"INSERT INTO unnumbered_commits SELECT number, 1 FROM {numbers}")  # noqa: S608
        rounds = []
        while removed := await stores.database.prune():
            rounds.append(removed)
        assert 1 < len(rounds)
        assert 2 * PRUNED_ROWS >= max(rounds)
        assert not await stores.items.confirms(old)
        assert [(KEPT_COMMITS, 1_000 + PRUNED_ROWS + 1)] == query_database(
            tmp_path, "SELECT count(*), min(sequence) FROM commits"
        )
        # Recent ones stay: each round has left one itself.
        assert [(0, True)] == query_database(
            tmp_path,
            f"""SELECT count(*) FILTER (WHERE token = 1), count(*) > {len(rounds)}
                FROM unnumbered_commits""",  # noqa: S608
        )


async def test_commits_leave_no_old_row_versions(tmp_path: Path) -> None:
    """While a transaction sees an old state, commits have no more row versions to walk through."""
    async with opened(tmp_path, FakeClock()) as (stores, _):

        async def write(name: str, *, is_numbered: bool) -> None:
            def operation(transaction: Transaction) -> None:
                if is_numbered:
                    transaction.next_sequence()
                transaction.connection.execute(
                    "INSERT INTO spaces (fingerprint) VALUES (?)", (name,)
                )

            await stores.database.write(operation)

        with psycopg.connect(database_of(tmp_path)) as connection:
            connection.execute("CREATE EXTENSION pgstattuple")
            connection.commit()
            count = """SELECT sum((pgstattuple(oid)).dead_tuple_count) FROM pg_class
                       WHERE relkind = 'r' AND relnamespace = 'akin'::regnamespace"""
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            before = connection.execute(count).fetchone()
            for number in range(10):
                await write(f"{number}", is_numbered=number % 2 == 0)
            assert before == connection.execute(count).fetchone()
            query_database(tmp_path, "DELETE FROM spaces WHERE fingerprint = '1'")
            assert before != connection.execute(count).fetchone()
