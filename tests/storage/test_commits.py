import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from support.clock import HeldClock
from support.grouped_writes import outcomes_together
from support.stores import (
    all_changes,
    all_items,
    delete_expired,
    indexed,
    opened,
    rows,
    upsert_user,
    write_connection,
)
from support.tasks import left, started

from service import errors
from service.domain.users import User
from service.embedding.prompts import hash_text
from service.storage.write_queue import (
    OPERATIONS_PER_COMMIT,
    QUEUED_OPERATIONS,
    ROWS_PER_COMMIT,
)


async def test_queued_writes_share_one_commit(tmp_path: Path) -> None:
    """All writes that are queued while a commit runs go into the next one."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        commits: list[int] = []
        stores.database.commits.listen(commits.append)
        writes = [stores.items.upsert_many(catalog, [indexed(f"i{n}", "x")]) for n in range(50)]
        outcomes = await outcomes_together(stores, clock, writes)
        sequences = [stored.sequence for (stored,) in outcomes]
        assert list(range(sequences[0], sequences[0] + 50)) == sequences
        assert [sequences[-1]] == commits


async def test_small_writes_do_not_wait_for_imports(tmp_path: Path) -> None:
    """A write goes into the next commit, with one of the large writes that came before it."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        commits: list[int] = []
        stores.database.commits.listen(commits.append)
        imports = [
            [indexed(f"{message}{number}", "x") for number in range(ROWS_PER_COMMIT // 2)]
            for message in "abc"
        ]
        writes = [stores.items.upsert_many(catalog, items) for items in imports]
        writes += [stores.items.upsert_many(catalog, [indexed("small", "x")])]
        *large, (small,) = await outcomes_together(stores, clock, writes)
        assert 1 == small.sequence
        ends = [stored[-1].sequence for stored in large]
        assert ends == commits


async def test_large_writes_are_not_held_up_by_small_ones(tmp_path: Path) -> None:
    """Each commit takes a large write that is queued, however many small ones there are."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        large = [indexed(f"i{number}", "x") for number in range(ROWS_PER_COMMIT)]
        writes: list[Coroutine[Any, Any, Any]] = [stores.items.upsert_many(catalog, large)]
        writes += [
            upsert_user(stores, catalog, User("u")) for _ in range(OPERATIONS_PER_COMMIT + 1)
        ]
        (stored, *users) = await outcomes_together(stores, clock, writes)
        assert users[-2].sequence < stored[0].sequence < users[-1].sequence


async def test_a_commit_takes_a_bounded_number_of_writers(tmp_path: Path) -> None:
    """Writes beyond the limit of a commit go into the next one."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        commits: list[int] = []
        stores.database.commits.listen(commits.append)
        writes = [upsert_user(stores, catalog, User("u")) for _ in range(OPERATIONS_PER_COMMIT + 1)]
        await outcomes_together(stores, clock, writes)
        assert [OPERATIONS_PER_COMMIT, OPERATIONS_PER_COMMIT + 1] == commits


async def test_listeners_learn_of_a_commit_before_its_writers(tmp_path: Path) -> None:
    """When a write returns, the listeners know its sequence, and it is the last one."""
    async with opened(tmp_path, HeldClock()) as (stores, catalog):
        heard: list[int] = []
        stores.database.commits.listen(heard.append)
        (stored,) = await stores.items.upsert_many(catalog, [indexed("a", "x")])
        assert [stored.sequence] == heard
        assert stored.sequence == stores.database.commits.last_sequence


async def test_a_failed_write_leaves_no_trace(tmp_path: Path) -> None:
    """Of a write that fails in the middle neither items nor vectors nor changes stay."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("there", "old")])
        items, changes = await all_items(stores, catalog), await all_changes(stores, catalog)
        with pytest.raises(errors.SequenceMismatch):
            await stores.items.upsert_many(
                catalog, [indexed("new", "fresh"), indexed("there", "x")], 0
            )
        assert items == await all_items(stores, catalog)
        assert changes == await all_changes(stores, catalog)
        assert {} == await stores.vectors.get_many(catalog, [hash_text("fresh")])


async def test_a_failed_write_does_not_disturb_its_neighbors(tmp_path: Path) -> None:
    """Writes that share the commit of one that fails are stored."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        commits: list[int] = []
        await stores.items.upsert_many(catalog, [indexed("there", "old")])
        stores.database.commits.listen(commits.append)
        before, failed, after = await outcomes_together(
            stores,
            clock,
            [
                stores.items.upsert_many(catalog, [indexed("before", "x")]),
                stores.items.upsert_many(catalog, [indexed("new", "y"), indexed("there", "y")], 0),
                stores.items.upsert_many(catalog, [indexed("after", "z")]),
            ],
        )
        assert isinstance(failed, errors.SequenceMismatch)
        assert 1 == len(commits)
        expected = {write.item.item_id: write for write in (*before, *after)}
        assert expected == await stores.items.get_many(catalog, ["before", "new", "after"])


async def test_a_write_whose_caller_left_disturbs_nobody(tmp_path: Path) -> None:
    """Writes that share the commit of one whose caller left are stored and answered."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        clock.hold()
        first = await started(stores.items.upsert_many(catalog, [indexed("a", "x")]))
        await clock.asked()
        leaving = await started(stores.items.upsert_many(catalog, [indexed("b", "x")]))
        staying = await started(stores.items.upsert_many(catalog, [indexed("c", "x")]))
        await left(first)
        await left(leaving)
        clock.release()
        (stored,) = await staying
        assert stored == (await stores.items.get_many(catalog, ["c"]))["c"]


async def test_a_queued_write_whose_caller_left_is_not_done(tmp_path: Path) -> None:
    """A write that has not started when its caller leaves stores nothing."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        clock.hold()
        first = await started(delete_expired(stores, 1))
        await clock.asked()
        leaving = await started(stores.items.upsert_many(catalog, [indexed("gone", "x")]))
        staying = await started(stores.items.upsert_many(catalog, [indexed("there", "x")]))
        await left(leaving)
        clock.release()
        await asyncio.gather(first, staying)
        assert {"there"} == (await stores.items.get_many(catalog, ["gone", "there"])).keys()


async def test_writes_beyond_the_queue_are_refused(tmp_path: Path) -> None:
    """A write beyond the bounded queue is refused at once, and those within it are done."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        writes = [stores.users.delete(catalog, "u") for _ in range(QUEUED_OPERATIONS)]
        one_more = upsert_user(stores, catalog, User("u"))
        *outcomes, refused = await outcomes_together(stores, clock, [*writes, one_more])
        assert isinstance(refused, errors.Overloaded)
        assert [0] * QUEUED_OPERATIONS == outcomes
        assert None is await stores.users.get(catalog, "u")


async def test_closing_finishes_the_queued_writes(tmp_path: Path) -> None:
    """A write that is queued when the database is closed is on disk and answered."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        clock.hold()
        writes = [
            await started(stores.items.upsert_many(catalog, [indexed(f"i{n}", "x")]))
            for n in range(20)
        ]
        await clock.asked()
        clock.release()
    assert 20 == len(await asyncio.gather(*writes))
    assert [(20,)] == rows(tmp_path, "SELECT count(*) FROM items")


@pytest.mark.sqlite
async def test_a_full_disk_stores_nothing_and_can_recover(tmp_path: Path) -> None:
    """Writes that find no room are refused with StoreFull; later writes succeed."""
    clock = HeldClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        first = await stores.items.upsert_many(catalog, [indexed("first", "x")])
        ((pages,),) = write_connection(stores).execute("PRAGMA page_count").fetchall()
        write_connection(stores).execute(f"PRAGMA max_page_count = {pages}")
        long_text = "word " * 10_000
        writes = [
            stores.items.upsert_many(catalog, [indexed(f"i{n}", long_text)]) for n in range(3)
        ]
        outcomes = await outcomes_together(stores, clock, writes)
        assert [errors.StoreFull] * 3 == [type(outcome) for outcome in outcomes]
        assert first == await all_items(stores, catalog)
        write_connection(stores).execute(f"PRAGMA max_page_count = {pages + 1_000}")
        more = await stores.items.upsert_many(catalog, [indexed("later", long_text)])
        assert [*first, *more] == await all_items(stores, catalog)
