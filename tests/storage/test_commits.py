import asyncio
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.clock import HeldClock
from support.stores import all_changes, all_items, indexed, opened, rows
from support.tasks import left, started

from service import errors
from service.domain.users import User
from service.domain.vectors import hash_text
from service.storage import Store
from service.storage.writer import OPERATIONS_PER_COMMIT, QUEUED_OPERATIONS


async def outcomes_together(
    store: Store, clock: HeldClock, writes: Iterable[Coroutine[Any, Any, Any]]
) -> list[Any]:
    """The outcomes of writes that all wait while a commit is under way."""
    clock.hold()
    first = await started(store.bury_expired(1))
    await clock.asked()
    waiting = [await started(write) for write in writes]
    clock.release()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_writers_that_wait_share_one_commit(tmp_path: Path) -> None:
    """Whatever gathers while a commit is under way goes into the next one, all of it."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        commits: list[int] = []
        store.listen(commits.append)
        writes = [store.upsert_items(catalog, [indexed(f"i{n}", "x")]) for n in range(50)]
        outcomes = await outcomes_together(store, clock, writes)
        sequences = [stored.sequence for (stored,) in outcomes]
        assert list(range(sequences[0], sequences[0] + 50)) == sequences
        assert [sequences[-1]] == commits


async def test_a_commit_takes_a_bounded_number_of_writers(tmp_path: Path) -> None:
    """Of more writers than a commit takes, the others go into the one after."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        commits: list[int] = []
        store.listen(commits.append)
        writes = [store.upsert_user(catalog, User("u")) for _ in range(OPERATIONS_PER_COMMIT + 1)]
        await outcomes_together(store, clock, writes)
        assert [OPERATIONS_PER_COMMIT, OPERATIONS_PER_COMMIT + 1] == commits


async def test_listeners_hear_of_a_commit_before_its_writers(tmp_path: Path) -> None:
    """When a write returns, the listeners know its sequence, and it is the last one."""
    async with opened(tmp_path, HeldClock()) as (store, catalog):
        heard: list[int] = []
        store.listen(heard.append)
        (stored,) = await store.upsert_items(catalog, [indexed("a", "x")])
        assert [stored.sequence] == heard
        assert stored.sequence == store.last_sequence


async def test_a_failed_write_leaves_no_trace(tmp_path: Path) -> None:
    """Of a write that fails in the middle neither items nor vectors nor changes stay."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        await store.upsert_items(catalog, [indexed("there", "old")])
        items, changes = await all_items(store, catalog), await all_changes(store, catalog)
        with pytest.raises(errors.SequenceMismatch):
            await store.upsert_items(catalog, [indexed("new", "fresh"), indexed("there", "x")], 0)
        assert items == await all_items(store, catalog)
        assert changes == await all_changes(store, catalog)
        assert {} == await store.vectors(catalog, [hash_text("fresh")])


async def test_a_failed_write_does_not_disturb_its_neighbors(tmp_path: Path) -> None:
    """Writes that share the commit of one that fails are stored."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        commits: list[int] = []
        await store.upsert_items(catalog, [indexed("there", "old")])
        store.listen(commits.append)
        before, failed, after = await outcomes_together(
            store,
            clock,
            [
                store.upsert_items(catalog, [indexed("before", "x")]),
                store.upsert_items(catalog, [indexed("new", "y"), indexed("there", "y")], 0),
                store.upsert_items(catalog, [indexed("after", "z")]),
            ],
        )
        assert isinstance(failed, errors.SequenceMismatch)
        assert 1 == len(commits)
        expected = {each.item.item_id: each for each in (*before, *after)}
        assert expected == await store.get_items(catalog, ["before", "new", "after"])


async def test_a_write_whose_caller_left_disturbs_nobody(tmp_path: Path) -> None:
    """Writes that share the commit of one whose caller left are stored and answered."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        clock.hold()
        first = await started(store.upsert_items(catalog, [indexed("a", "x")]))
        await clock.asked()
        leaving = await started(store.upsert_items(catalog, [indexed("b", "x")]))
        staying = await started(store.upsert_items(catalog, [indexed("c", "x")]))
        await left(first)
        await left(leaving)
        clock.release()
        (stored,) = await staying
        assert stored == (await store.get_items(catalog, ["c"]))["c"]


async def test_too_many_waiting_writes_are_refused(tmp_path: Path) -> None:
    """A write beyond the bounded queue is refused at once, and those within it are done."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        writes = [store.delete_user(catalog, "u") for _ in range(QUEUED_OPERATIONS)]
        one_more = store.upsert_user(catalog, User("u"))
        *outcomes, refused = await outcomes_together(store, clock, [*writes, one_more])
        assert isinstance(refused, errors.Overloaded)
        assert [False] * QUEUED_OPERATIONS == outcomes
        assert None is await store.get_user(catalog, "u")


async def test_closing_finishes_the_writes_under_way(tmp_path: Path) -> None:
    """A write that waits when the store is closed is on disk and answered."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        clock.hold()
        writes = [
            await started(store.upsert_items(catalog, [indexed(f"i{n}", "x")])) for n in range(20)
        ]
        await clock.asked()
        clock.release()
    assert 20 == len(await asyncio.gather(*writes))
    assert [(20,)] == rows(tmp_path, "SELECT count(*) FROM items")


async def test_a_full_disk_stores_nothing_and_can_be_left_behind(tmp_path: Path) -> None:
    """Writes that find no room are refused with StoreFull; once there is room they go on."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (store, catalog):
        kept = await store.upsert_items(catalog, [indexed("kept", "x")])
        ((pages,),) = store._writing.execute("PRAGMA page_count").fetchall()
        store._writing.execute(f"PRAGMA max_page_count = {pages}")
        long_text = "word " * 10_000
        writes = [store.upsert_items(catalog, [indexed(f"i{n}", long_text)]) for n in range(3)]
        outcomes = await outcomes_together(store, clock, writes)
        assert [errors.StoreFull] * 3 == [type(outcome) for outcome in outcomes]
        assert kept == await all_items(store, catalog)
        store._writing.execute(f"PRAGMA max_page_count = {pages + 1_000}")
        more = await store.upsert_items(catalog, [indexed("later", long_text)])
        assert [*kept, *more] == await all_items(store, catalog)
