from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS, unit_vector
from support.item_indexes import INDEX_THREADS, fail_to_open
from support.stores import (
    GIVE_UP_SECONDS,
    delete_expired,
    delete_item,
    indexed,
    opened,
    pending,
    upsert_user,
)
from support.tasks import left, started

from service import errors
from service.domain.generations import Generation
from service.domain.items import Change
from service.domain.users import User
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.index.change_feed import ChangeFeed
from service.index.change_reader import CHANGES_PER_ROUND
from service.index.faiss_exact import ExactIndex
from service.index.follower import Follower
from service.index.index_access import MAX_INLINE_COST
from service.index.item_index import ItemIndex
from service.index.term_compaction import TermCompaction
from service.index.term_index import MAX_STALE_TEXTS, TermIndex
from service.storage.stores import Stores

Content = dict[str, bytes]


class ExpensiveIndex(ExactIndex):
    """An index whose searches take too long for the event loop."""

    def estimate_cost(self, queries: int) -> int:
        """Return more than the event loop may take."""
        return MAX_INLINE_COST + 1


class HeldCompaction(TermCompaction):
    """A compaction that does not end before the index allows it."""

    def __init__(self, index: HeldTermIndex) -> None:
        key_of, lengths = np.array(index._key_of), np.array(index._lengths)
        super().__init__(index._postings, key_of, lengths, len(index._version_of))
        self._index = index

    def run(self) -> None:
        """Wait, and run."""
        self._index.has_begun.set()
        assert self._index.may_end.wait(GIVE_UP_SECONDS)
        super().run()


class HeldTermIndex(TermIndex):
    """An index of words whose compaction does not end before the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def start_compaction(self) -> TermCompaction:
        """Return the held compaction."""
        return HeldCompaction(self)


@asynccontextmanager
async def following(
    stores: Stores,
    catalog: Generation,
    clock: FakeClock,
    index: ExactIndex | None = None,
    terms: TermIndex | None = None,
) -> AsyncIterator[Follower]:
    """Yield a follower with a new item index, which runs until the end of the block."""
    if index is None:
        index = ExactIndex(DIMENSIONS)
    item_index = ItemIndex(index, clock, terms)
    follower = Follower(stores.items, catalog, item_index, INDEX_THREADS, fail_to_open)
    async with asyncio.timeout(GIVE_UP_SECONDS):
        task = asyncio.create_task(follower.run())
        try:
            yield follower
        finally:
            await left(task)


def content(item_index: ItemIndex) -> Content:
    """Return each searchable item's vector by id."""
    assert len(item_index) == len(item_index.vectors)
    vectors = {
        key: item_index.vectors.get([key]).vectors.tobytes()
        for keys, _ in item_index.vectors.iterate_blocks(1_000)
        for key in keys.tolist()
    }
    ranked = item_index.rank_hits(
        item_index.vectors.search(np.zeros((1, DIMENSIONS), np.float32), 10_000)[0], 10_000
    )
    assert [key for _, _, key in ranked] == [
        item_index.find_key(item_id) for item_id, _, _ in ranked
    ]
    return {item_id: vectors[key] for item_id, _, key in ranked}


async def contents(follower: Follower) -> Content:
    return await follower.read(content, queries=1)


async def test_a_write_is_readable_after_waiting_for_it(tmp_path: Path) -> None:
    """A read after waiting for a write's sequence number sees the write."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        for text in ("tea", "coffee"):
            (stored,) = await stores.items.upsert_many(catalog, [indexed("a", text)])
            await follower.wait_for(stored.sequence)
            assert follower._access.item_index.sequence >= stored.sequence
            assert {"a": unit_vector(text).tobytes()} == await contents(follower)
        await follower.wait_for(await delete_item(stores, catalog, "a"))
        assert {} == await contents(follower)


async def test_writes_of_users_advance_the_sequence(tmp_path: Path) -> None:
    """Writes that change no item advance the item index's sequence, too."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        stored = await upsert_user(stores, catalog, User("u"))
        await follower.wait_for(stored.sequence)
        assert stored.sequence == follower._access.item_index.sequence


async def test_many_wait_for_different_writes(tmp_path: Path) -> None:
    """Every waiter continues once its own write is applied, whatever the order of the waits."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        waits = [await started(follower.wait_for(sequence)) for sequence in range(20, 0, -1)]
        for number in range(20):
            await stores.items.upsert_many(catalog, [indexed(f"i{number}", "x")])
        await asyncio.gather(*waits)
        assert 20 == follower.item_count


async def test_a_cancelled_waiter_does_not_affect_others(tmp_path: Path) -> None:
    """Cancelling one waiter does not affect the others."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        leaving = await started(follower.wait_for(stores.database.commits.last_sequence + 1))
        staying = await started(follower.wait_for(stores.database.commits.last_sequence + 1))
        await left(leaving)
        await stores.items.upsert_many(catalog, [indexed("a", "x")])
        await staying
        assert leaving.cancelled()


async def test_a_pending_item_is_searchable_once_embedded(tmp_path: Path) -> None:
    """A pending item is not searchable; once it has its vector it is."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        (stored,) = await stores.items.upsert_many(catalog, [pending("a", "tea")])
        await follower.wait_for(stored.sequence)
        assert {} == await contents(follower)
        (due,) = await stores.pending.list_due(catalog, 1)
        vector = unit_vector("tea")
        await follower.wait_for(
            await stores.pending.settle(catalog, due, [Chunk(hash_text("tea"), vector)])
        )
        assert {"a": vector.tobytes()} == await contents(follower)


async def churn(stores: Stores, catalog: Generation, clock: FakeClock, seed: int) -> None:
    """Random concurrent writes; some items expire on the way."""
    chance = random.Random(seed)
    for _ in range(60):
        writes = []
        for _ in range(8):
            item_id, text = f"i{chance.randrange(40)}", f"text {chance.randrange(30)}"
            expiring = chance.random() < 0.3
            expire_time_us = clock.now_us + chance.randrange(1, 9) if expiring else None
            write = pending(item_id, text) if chance.random() < 0.2 else indexed(item_id, text)
            if expiring:
                write = indexed(item_id, text, expire_time_us)
            writes.append(stores.items.upsert_many(catalog, [write]))
        deleted = f"i{chance.randrange(40)}"
        await asyncio.gather(
            *writes, delete_item(stores, catalog, deleted), delete_expired(stores, 2)
        )
        clock.advance(microseconds=chance.randrange(4))


@pytest.mark.parametrize("seed", range(3))
async def test_a_rebuilt_index_equals_one_that_followed_live(tmp_path: Path, seed: int) -> None:
    """Following concurrent writes live ends in the same content as rebuilding from the stores."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        async with following(stores, catalog, clock) as follower:
            await churn(stores, catalog, clock, seed)
            await follower.wait_for(stores.database.commits.last_sequence)
            live = await contents(follower)
            live_mean = await follower.read(lambda item_index: item_index.vectors.mean(), queries=1)
        serving = {
            change.item_id: change.vectors[0]
            for change in (await stores.items.changes(catalog, 0, 1_000))[0]
            if change.vectors and (change.expire_time_us or clock.now_us + 1) > clock.now_us
        }
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        await follower.wait_for(stores.database.commits.last_sequence)
        assert serving == live == await contents(follower)
        mean = await follower.read(lambda item_index: item_index.vectors.mean(), queries=1)
        np.testing.assert_allclose(live_mean, mean, atol=1e-6)


async def test_a_start_applies_more_than_one_round(tmp_path: Path) -> None:
    """An item index catches up with more changes than one round has."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        items = [indexed(f"i{n}", f"text {n % 50}") for n in range(2 * CHANGES_PER_ROUND + 1)]
        await stores.items.upsert_many(catalog, items)
        async with following(stores, catalog, clock) as follower:
            await follower.wait_for(stores.database.commits.last_sequence)
            assert len(items) == follower.item_count


async def test_an_item_expires_at_its_microsecond(tmp_path: Path) -> None:
    """An item is searchable up to the microsecond before its expire time, and not after."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        expiring = indexed("a", "tea", clock.now_us + 5)
        await stores.items.upsert_many(catalog, [expiring, indexed("b", "tea", clock.now_us + 6)])
        await follower.wait_for(stores.database.commits.last_sequence)
        clock.advance(microseconds=4)
        assert ["a", "b"] == sorted(await contents(follower))
        clock.advance(microseconds=1)
        assert ["b"] == sorted(await contents(follower))
        clock.advance(microseconds=1)
        assert [] == sorted(await contents(follower))


async def test_the_last_expire_time_counts(tmp_path: Path) -> None:
    """An item whose expire time was moved, removed or reset expires at its last expire time."""
    clock = FakeClock()
    start = clock.now_us
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        moves: dict[str, list[int | None]] = {
            "earlier": [9, 3],
            "later": [3, 9],
            "never": [3, None],
            "back": [5, 9, 5],
            "again": [5, None, 5],
            "same": [5, 5],
        }
        for item_id, times in moves.items():
            for time in times:
                expire_time_us = None if time is None else start + time
                await stores.items.upsert_many(catalog, [indexed(item_id, "tea", expire_time_us)])
                await follower.wait_for(stores.database.commits.last_sequence)
        ids_by_microsecond = {}
        for microsecond in range(10):
            ids_by_microsecond[microsecond] = sorted(await contents(follower))
            clock.advance(microseconds=1)
    expected = {
        microsecond: sorted(
            item_id
            for item_id, times in moves.items()
            if times[-1] is None or times[-1] > microsecond
        )
        for microsecond in range(10)
    }
    assert expected == ids_by_microsecond


def test_expire_times_may_keep_moving() -> None:
    """An item whose expire time was moved thousands of times expires at the last one."""
    clock = FakeClock()
    item_index = ItemIndex(ExactIndex(DIMENSIONS), clock)
    vector = unit_vector("tea").tobytes()
    for number in range(5_000):
        expire_time_us = clock.now_us + 9_000 - number
        changes = [Change(name, "{}", (vector,), expire_time_us) for name in "abc"]
        item_index.apply(changes, number)
    clock.advance(microseconds=9_000 - 4_999 - 1)
    item_index.drop_expired()
    assert 3 == len(item_index)
    clock.advance(microseconds=1)
    item_index.drop_expired()
    assert 0 == len(item_index) == len(item_index.vectors)


async def test_expensive_reads_do_not_block_the_event_loop(tmp_path: Path) -> None:
    """A read that costs more than the event loop may take runs in the worker thread."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        loop_thread = threading.current_thread().name
        for index, on_loop in ((ExactIndex(DIMENSIONS), True), (ExpensiveIndex(DIMENSIONS), False)):
            async with following(stores, catalog, clock, index) as follower:
                (stored,) = await stores.items.upsert_many(catalog, [indexed("a", "tea")])
                await follower.wait_for(stored.sequence)
                name = await follower.read(lambda _: threading.current_thread().name, queries=1)
                assert on_loop == (loop_thread == name)
                assert {"a": unit_vector("tea").tobytes()} == await contents(follower)


async def test_shutdown_ends_every_wait(tmp_path: Path) -> None:
    """Waiting for a write that never comes raises NotReady when the follower ends."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        async with following(stores, catalog, clock) as follower:
            await follower.wait_for(stores.database.commits.last_sequence)
            waits = [
                await started(follower.wait_for(stores.database.commits.last_sequence + 9))
                for _ in "ab"
            ]
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        assert [errors.NotReady] * 2 == [type(outcome) for outcome in outcomes]
        with pytest.raises(errors.NotReady):  # nor does a later wait hang
            await follower.wait_for(stores.database.commits.last_sequence + 9)


async def delete_and_purge(stores: Stores, catalog: Generation, item_ids: list[str]) -> int:
    """Delete items, and remove their tombstones; return the sequence number of the deletion."""
    sequence = (await stores.items.delete_many(catalog, item_ids)).sequence
    assert len(item_ids) == await stores.unused_rows.remove_tombstones(catalog.catalog_id, sequence)
    return sequence


async def test_a_lagging_index_loses_items_whose_tombstones_are_gone(tmp_path: Path) -> None:
    """An index that missed deletions, as in a frozen process, becomes equal to a new one."""
    clock = FakeClock()
    lagging = ItemIndex(ExactIndex(DIMENSIONS), clock)
    async with opened(tmp_path, clock) as (stores, catalog):
        names = ["kept", "changed", "deleted", "written again", "pending"]
        writes = [indexed(name, name) for name in names[:4]]
        await stores.items.upsert_many(catalog, [*writes, pending(names[4], "later")])
        batch = await stores.items.changes(catalog, 0, 10)
        lagging.apply(batch.changes, batch.reached)
        await delete_and_purge(stores, catalog, ["deleted", "written again", "pending"])
        await stores.items.upsert_many(
            catalog, [indexed("changed", "tea"), indexed("written again", "rum")]
        )
        await delete_and_purge(stores, catalog, ["changed"])
        (stored,) = await stores.items.upsert_many(catalog, [indexed("new", "new")])
        follower = Follower(stores.items, catalog, lagging, INDEX_THREADS, fail_to_open)
        async with asyncio.timeout(GIVE_UP_SECONDS):
            task = asyncio.create_task(follower.run())
            await follower.wait_for(stored.sequence)
            expected = {"kept": "kept", "written again": "rum", "new": "new"}
            assert {name: unit_vector(text).tobytes() for name, text in expected.items()} == (
                await contents(follower)
            )
            assert None is lagging.find_key("pending")
            await left(task)


async def test_tombstones_may_vanish_while_an_index_is_built(tmp_path: Path) -> None:
    """Items deleted between two rounds of a first build are not in the index at the end."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        count = CHANGES_PER_ROUND + 100
        names = [f"i{number}" for number in range(count)]
        await stores.items.upsert_many(catalog, [indexed(name, "text") for name in names])
        item_index = ItemIndex(ExactIndex(DIMENSIONS), clock)
        batch = await stores.items.changes(catalog, 0, CHANGES_PER_ROUND)
        item_index.apply(batch.changes, batch.reached)
        deleted = await delete_and_purge(stores, catalog, [names[0], names[-1]])
        follower = Follower(stores.items, catalog, item_index, INDEX_THREADS, fail_to_open)
        async with asyncio.timeout(GIVE_UP_SECONDS):
            task = asyncio.create_task(follower.run())
            await follower.wait_for(deleted)
            assert {*names[1:-1]} == (await contents(follower)).keys()
            await left(task)


async def test_an_old_snapshot_loses_items_whose_tombstones_are_gone(tmp_path: Path) -> None:
    """A snapshot from before deletions replaces a live index only without the deleted items."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock) as follower,
    ):
        await stores.items.upsert_many(catalog, [indexed("a", "tea"), indexed("b", "rum")])
        old = ItemIndex(ExactIndex(DIMENSIONS), clock)
        batch = await stores.items.changes(catalog, 0, 10)
        old.apply(batch.changes, batch.reached)
        await follower.wait_for(await delete_and_purge(stores, catalog, ["a"]))
        await follower.replace_index(old)
        assert {"b": unit_vector("rum").tobytes()} == await contents(follower)


async def test_a_new_index_does_not_compare_its_items(tmp_path: Path) -> None:
    """An empty index needs no tombstones, so that a first build reads no list of all ids."""

    class CountingStore:
        """The items of a store, which counts the reads of all ids."""

        def __init__(self, stores: Stores) -> None:
            self._items = stores.items
            self.reads = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._items, name)

        async def undeleted_ids(self, generation: Generation) -> tuple[set[str], int]:
            self.reads += 1
            return await self._items.undeleted_ids(generation)

    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea"), indexed("b", "rum")])
        deleted = await delete_and_purge(stores, catalog, ["a"])
        feed = CountingStore(stores)
        follower = Follower(
            cast("ChangeFeed", feed),
            catalog,
            ItemIndex(ExactIndex(DIMENSIONS), clock),
            INDEX_THREADS,
            fail_to_open,
        )
        async with asyncio.timeout(GIVE_UP_SECONDS):
            task = asyncio.create_task(follower.run())
            await follower.wait_for(deleted)
            assert {"b"} == (await contents(follower)).keys()
            assert 0 == feed.reads
            await left(task)


async def test_words_are_compacted_after_deletions_beside_reads(tmp_path: Path) -> None:
    """Deletions alone make the words of deleted items go, and reads go on all the time."""
    clock, terms = FakeClock(), HeldTermIndex()
    ids = [f"i{number:04}" for number in range(MAX_STALE_TEXTS + 100)]
    async with (
        opened(tmp_path, clock) as (stores, catalog),
        following(stores, catalog, clock, terms=terms) as follower,
    ):
        await stores.items.upsert_many(
            catalog, [indexed(item_id, f"tea {item_id}") for item_id in ids]
        )
        await follower.wait_for_all()
        deletion = await stores.items.delete_many(catalog, ids[10:])
        assert await asyncio.to_thread(terms.has_begun.wait, GIVE_UP_SECONDS)
        assert len(await contents(follower)) < len(ids) / 2
        write = await stores.items.upsert_many(catalog, [indexed("new", "tea")])
        terms.may_end.set()
        await follower.wait_for(max(deletion.sequence, write[-1].sequence))
        assert 11 == len(await contents(follower))
        assert MAX_STALE_TEXTS / 2 > len(terms.capture()["key_of"])
        assert MAX_STALE_TEXTS / 2 > len(terms.capture()["counts"])
