import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS, unit_vector
from support.stores import GIVE_UP_SECONDS, indexed, opened, pending
from support.tasks import left, started

from service import errors
from service.domain.generations import Generation
from service.domain.items import Change
from service.domain.users import User
from service.domain.vectors import Chunk, hash_text
from service.index.faiss_exact import ExactIndex
from service.index.follower import CHANGES_PER_ROUND, INLINE_COST, Follower
from service.index.item_index import ItemIndex
from service.storage import Store

Content = dict[str, bytes]


class DearIndex(ExactIndex):
    """An index whose searches are too dear for the event loop."""

    def cost(self, queries: int) -> int:
        """More than the loop may take."""
        return INLINE_COST + 1


@asynccontextmanager
async def following(
    store: Store, catalog: Generation, clock: FakeClock, index: ExactIndex | None = None
) -> AsyncIterator[Follower]:
    """An follower with a new item index, which runs until the end of the block."""
    if index is None:
        index = ExactIndex(DIMENSIONS)
    follower = Follower(store, catalog, ItemIndex(index, clock))
    async with asyncio.timeout(GIVE_UP_SECONDS):
        task = asyncio.create_task(follower.run())
        try:
            yield follower
        finally:
            await left(task)


def content(item_index: ItemIndex) -> Content:
    """What an item index holds: each item's vector by id."""
    assert len(item_index) == len(item_index.index)
    held = {
        key: item_index.index.vectors([key]).vectors.tobytes()
        for keys, _ in item_index.index.blocks(1_000)
        for key in keys.tolist()
    }
    named = item_index.best(
        item_index.index.search(np.zeros((1, DIMENSIONS), np.float32), 10_000)[0], 10_000
    )
    assert [key for _, _, key in named] == [item_index.key(item_id) for item_id, _, _ in named]
    return {item_id: held[key] for item_id, _, key in named}


async def contents(follower: Follower) -> Content:
    return await follower.read(content, queries=1)


async def test_a_write_is_in_the_view_once_reached(tmp_path: Path) -> None:
    """Whoever waited for a write's sequence reads what it wrote."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
    ):
        for text in ("tea", "coffee"):
            (stored,) = await store.upsert_items(catalog, [indexed("a", text)])
            await follower.reached(stored.sequence)
            assert follower._item_index.sequence >= stored.sequence
            assert {"a": unit_vector(text).tobytes()} == await contents(follower)
        await follower.reached(await store.delete_item(catalog, "a"))
        assert {} == await contents(follower)


async def test_writes_of_users_move_the_view_on(tmp_path: Path) -> None:
    """The item index's sequence takes in writes that change no item."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
    ):
        stored = await store.upsert_user(catalog, User("u"))
        await follower.reached(stored.sequence)
        assert stored.sequence == follower._item_index.sequence


async def test_many_wait_for_different_writes(tmp_path: Path) -> None:
    """Each of many who wait goes on once their own write is in, in whatever order they came."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
    ):
        waits = [await started(follower.reached(sequence)) for sequence in range(20, 0, -1)]
        for number in range(20):
            await store.upsert_items(catalog, [indexed(f"i{number}", "x")])
        await asyncio.gather(*waits)
        assert 20 == follower.items


async def test_a_reader_who_left_disturbs_nobody(tmp_path: Path) -> None:
    """Others go on waiting when one of those who wait was cancelled."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
    ):
        leaving = await started(follower.reached(store.last_sequence + 1))
        staying = await started(follower.reached(store.last_sequence + 1))
        await left(leaving)
        await store.upsert_items(catalog, [indexed("a", "x")])
        await staying
        assert leaving.cancelled()


async def test_a_pending_item_is_in_the_view_once_settled(tmp_path: Path) -> None:
    """An item without a vector is not in the item index; with its vector it is."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
    ):
        (stored,) = await store.upsert_items(catalog, [pending("a", "tea")])
        await follower.reached(stored.sequence)
        assert {} == await contents(follower)
        (due,) = await store.due_pending(catalog, 1)
        vector = unit_vector("tea")
        await follower.reached(await store.settle(catalog, due, [Chunk(hash_text("tea"), vector)]))
        assert {"a": vector.tobytes()} == await contents(follower)


async def churn(store: Store, catalog: Generation, clock: FakeClock, seed: int) -> None:
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
            writes.append(store.upsert_items(catalog, [write]))
        deleted = f"i{chance.randrange(40)}"
        await asyncio.gather(*writes, store.delete_item(catalog, deleted), store.bury_expired(2))
        clock.advance(microseconds=chance.randrange(4))


@pytest.mark.parametrize("seed", range(3))
async def test_a_rebuilt_view_equals_one_that_followed_live(tmp_path: Path, seed: int) -> None:
    """However concurrent the writes, following them live ends where rebuilding does."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        async with following(store, catalog, clock) as follower:
            await churn(store, catalog, clock, seed)
            await follower.reached(store.last_sequence)
            live = await contents(follower)
            live_mean = await follower.read(lambda item_index: item_index.index.mean(), queries=1)
        serving = {
            change.item_id: change.vectors[0]
            for change in (await store.changes(catalog, 0, 1_000))[0]
            if change.vectors and (change.expire_time_us or clock.now_us + 1) > clock.now_us
        }
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
    ):
        await follower.reached(store.last_sequence)
        assert serving == live == await contents(follower)
        mean = await follower.read(lambda item_index: item_index.index.mean(), queries=1)
        np.testing.assert_allclose(live_mean, mean, atol=1e-6)


async def test_a_start_takes_in_more_than_one_round(tmp_path: Path) -> None:
    """An item index catches up with more items than one round takes."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        items = [indexed(f"i{n}", f"text {n % 50}") for n in range(2 * CHANGES_PER_ROUND + 1)]
        await store.upsert_items(catalog, items)
        async with following(store, catalog, clock) as follower:
            await follower.reached(store.last_sequence)
            assert len(items) == follower.items


async def test_an_item_leaves_the_view_at_its_microsecond(tmp_path: Path) -> None:
    """An item is there until the microsecond before its time, and not from its time on."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
    ):
        expiring = indexed("a", "tea", clock.now_us + 5)
        await store.upsert_items(catalog, [expiring, indexed("b", "tea", clock.now_us + 6)])
        await follower.reached(store.last_sequence)
        clock.advance(microseconds=4)
        assert ["a", "b"] == sorted(await contents(follower))
        clock.advance(microseconds=1)
        assert ["b"] == sorted(await contents(follower))
        clock.advance(microseconds=1)
        assert [] == sorted(await contents(follower))


async def test_the_last_expire_time_counts(tmp_path: Path) -> None:
    """An item whose time was moved, taken away or set back goes at the time it had last."""
    clock = FakeClock()
    start = clock.now_us
    async with (
        opened(tmp_path, clock) as (store, catalog),
        following(store, catalog, clock) as follower,
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
                await store.upsert_items(catalog, [indexed(item_id, "tea", expire_time_us)])
                await follower.reached(store.last_sequence)
        found = {}
        for microsecond in range(10):
            found[microsecond] = sorted(await contents(follower))
            clock.advance(microseconds=1)
    expected = {
        microsecond: sorted(
            item_id
            for item_id, times in moves.items()
            if times[-1] is None or times[-1] > microsecond
        )
        for microsecond in range(10)
    }
    assert expected == found


def test_expire_times_may_keep_moving() -> None:
    """Items whose time was moved thousands of times go at their last one, and not before."""
    clock = FakeClock()
    item_index = ItemIndex(ExactIndex(DIMENSIONS), clock)
    vector = unit_vector("tea").tobytes()
    for number in range(5_000):
        expire_time_us = clock.now_us + 9_000 - number
        changes = [Change(name, "{}", (vector,), expire_time_us) for name in "abc"]
        item_index.apply(changes, number)
    clock.advance(microseconds=9_000 - 4_999 - 1)
    item_index.expire()
    assert 3 == len(item_index)
    clock.advance(microseconds=1)
    item_index.expire()
    assert 0 == len(item_index) == len(item_index.index)


async def test_dear_reads_leave_the_loop_alone(tmp_path: Path) -> None:
    """What costs more than the loop may take runs in the worker, cheap reads on the loop."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        loop_thread = threading.current_thread().name
        for index, on_loop in ((ExactIndex(DIMENSIONS), True), (DearIndex(DIMENSIONS), False)):
            async with following(store, catalog, clock, index) as follower:
                (stored,) = await store.upsert_items(catalog, [indexed("a", "tea")])
                await follower.reached(stored.sequence)
                name = await follower.read(lambda _: threading.current_thread().name, queries=1)
                assert on_loop == (loop_thread == name)
                assert {"a": unit_vector("tea").tobytes()} == await contents(follower)


async def test_shutdown_tells_everyone_who_waits(tmp_path: Path) -> None:
    """Whoever waits for a write that never comes gets NotReady when the follower ends."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        async with following(store, catalog, clock) as follower:
            await follower.reached(store.last_sequence)
            waits = [await started(follower.reached(store.last_sequence + 9)) for _ in "ab"]
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        assert [errors.NotReady] * 2 == [type(outcome) for outcome in outcomes]
