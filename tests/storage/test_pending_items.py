from dataclasses import replace
from pathlib import Path

import numpy as np
from support.clock import FakeClock
from support.embedders import unit_vector
from support.stores import all_changes, all_items, indexed, opened, pending, rows

from service.domain.generations import Generation
from service.domain.items import Item, ItemState
from service.domain.vectors import Chunk, hash_text
from service.storage import Store
from service.storage.records import PendingItem


async def settle(store: Store, catalog: Generation, item: PendingItem) -> int:
    chunk = Chunk(hash_text(item.text), unit_vector(item.text))
    return await store.settle(catalog, item, [chunk])


async def served(store: Store, catalog: Generation, item_id: str) -> bytes | None:
    (change,) = [each for each in await all_changes(store, catalog) if each.item_id == item_id]
    return next(iter(change.vectors), None)


async def test_a_pending_item_is_stored_with_its_reason(tmp_path: Path) -> None:
    """An item without a vector is there, says why it waits, and is due at once."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        (stored,) = await store.upsert_items(catalog, [pending("a", "tea", "closed for today")])
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        assert [stored] == await all_items(store, catalog)
        assert (ItemState.PENDING, "closed for today") == (stored.state, stored.pending_reason)
        assert None is await served(store, catalog, "a")
        (due,) = await store.due_pending(catalog, 10)
        assert ("tea", stored.sequence, 0) == (due.text, due.sequence, due.attempts)


async def test_settling_gives_the_item_its_vector(tmp_path: Path) -> None:
    """A settled item is indexed at the version its caller wrote, and followers learn of it."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        (stored,) = await store.upsert_items(catalog, [pending("a", "tea")])
        (due,) = await store.due_pending(catalog, 10)
        sequence = await settle(store, catalog, due)
        assert sequence == store.last_sequence > stored.sequence
        (change,) = await all_changes(store, catalog, stored.sequence)
        assert (unit_vector("tea").tobytes(),) == change.vectors
        (item,) = await all_items(store, catalog)
        assert (ItemState.INDEXED, "") == (item.state, item.pending_reason)
        assert stored.sequence == item.sequence
        assert [] == await store.due_pending(catalog, 10)


async def test_the_old_vector_serves_while_the_new_one_is_pending(tmp_path: Path) -> None:
    """An item whose new text waits keeps its former vector until it is settled."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "tea")])
        await store.upsert_items(catalog, [pending("a", "coffee")])
        assert unit_vector("tea").tobytes() == await served(store, catalog, "a")
        (due,) = await store.due_pending(catalog, 10)
        await settle(store, catalog, due)
        assert unit_vector("coffee").tobytes() == await served(store, catalog, "a")


async def test_no_vector_outlives_a_delete_or_the_expiry(tmp_path: Path) -> None:
    """A pending item that replaces a deleted or expired one serves no vector."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        expiring = indexed("expired", "tea", clock.now_us + 1)
        await store.upsert_items(catalog, [indexed("deleted", "tea"), expiring])
        await store.delete_item(catalog, "deleted")
        clock.advance(microseconds=1)
        await store.upsert_items(catalog, [pending("deleted", "x"), pending("expired", "x")])
        assert None is await served(store, catalog, "deleted")
        assert None is await served(store, catalog, "expired")


async def test_settling_an_outdated_version_changes_nothing(tmp_path: Path) -> None:
    """A vector that comes after its item was written again, or deleted, does not serve."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [pending("a", "old"), pending("b", "old")])
        await store.upsert_items(catalog, [pending("c", "old")])
        outdated = await store.due_pending(catalog, 10)
        await store.upsert_items(catalog, [indexed("a", "new"), pending("b", "newer")])
        await store.delete_item(catalog, "c")
        items, changes = await all_items(store, catalog), await all_changes(store, catalog)
        due = await store.due_pending(catalog, 10)
        assert [0, 0, 0] == [await settle(store, catalog, item) for item in outdated]
        assert items == await all_items(store, catalog)
        assert changes == await all_changes(store, catalog)
        assert due == await store.due_pending(catalog, 10)


async def test_postponing_keeps_the_item_and_notes_why(tmp_path: Path) -> None:
    """A postponed item is due again after its delay, with the new reason and one more attempt."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        await store.upsert_items(catalog, [pending("a", "tea")])
        (due,) = await store.due_pending(catalog, 10)
        await store.postpone(catalog, due, "still closed", 1.5)
        clock.advance(seconds=1.5, microseconds=-1)
        assert [] == await store.due_pending(catalog, 10)
        (item,) = await all_items(store, catalog)
        assert (ItemState.PENDING, "still closed") == (item.state, item.pending_reason)
        clock.advance(microseconds=1)
        assert [1] == [each.attempts for each in await store.due_pending(catalog, 10)]


async def test_postponing_an_outdated_version_changes_nothing(tmp_path: Path) -> None:
    """A failure that comes after its item was written again does not delay the new version."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [pending("a", "old")])
        (outdated,) = await store.due_pending(catalog, 10)
        stored = await store.upsert_items(catalog, [pending("a", "new", "its own reason")])
        due = await store.due_pending(catalog, 10)
        await store.postpone(catalog, outdated, "too late", 60.0)
        assert stored == await all_items(store, catalog)
        assert due == await store.due_pending(catalog, 10)


async def test_the_longest_due_come_first(tmp_path: Path) -> None:
    """Due items come in the order of their times, as many as asked for."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        for name in "abc":
            await store.upsert_items(catalog, [pending(name, f"text {name}")])
            clock.advance(microseconds=1)
        (first,) = await store.due_pending(catalog, 1)
        assert "text a" == first.text
        await store.postpone(catalog, first, "later", 1.0)
        clock.advance(seconds=1.0)
        due = await store.due_pending(catalog, 10)
        assert ["text b", "text c", "text a"] == [each.text for each in due]


async def test_a_deleted_or_buried_item_is_not_pending(tmp_path: Path) -> None:
    """Once an item is deleted or buried nothing waits to be embedded for it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        expiring = replace(pending("b", "tea"), item=Item("b", "tea", {}, clock.now_us + 1))
        await store.upsert_items(catalog, [pending("a", "tea"), expiring])
        await store.delete_item(catalog, "a")
        clock.advance(microseconds=1)
        await store.bury_expired(10)
        assert [] == await store.due_pending(catalog, 10)
    assert [] == rows(tmp_path, "SELECT * FROM pending")


async def test_a_vector_that_comes_too_late_is_kept_for_its_text(tmp_path: Path) -> None:
    """What an outdated version was embedded to is known when the text comes again."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [pending("a", "old")])
        (outdated,) = await store.due_pending(catalog, 10)
        await store.upsert_items(catalog, [indexed("a", "new")])
        await settle(store, catalog, outdated)
        found = await store.vectors(catalog, [hash_text("old")])
        np.testing.assert_array_equal(unit_vector("old"), found[hash_text("old")])
