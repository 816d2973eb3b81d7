from dataclasses import replace
from pathlib import Path

import numpy as np
from support.clock import START_US, FakeClock
from support.embedders import unit_vector
from support.stores import (
    UNAVAILABLE,
    all_changes,
    all_items,
    delete_expired,
    delete_item,
    indexed,
    opened,
    pending,
    rows,
)

from service.domain.generations import Generation
from service.domain.items import Item, ItemState
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.storage.pending import DATED_ITEMS
from service.storage.records import UnembeddedItem
from service.storage.stores import Stores


async def settle(stores: Stores, catalog: Generation, item: UnembeddedItem) -> int:
    chunk = Chunk(hash_text(item.text), unit_vector(item.text))
    return await stores.pending.settle(catalog, item, [chunk])


async def served(stores: Stores, catalog: Generation, item_id: str) -> bytes | None:
    (change,) = [
        change for change in await all_changes(stores, catalog) if change.item_id == item_id
    ]
    return next(iter(change.vectors), None)


async def test_a_pending_item_is_stored_with_its_reason(tmp_path: Path) -> None:
    """An item without a vector is stored with the reason why it is pending, and is due at once."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        (stored,) = await stores.items.upsert_many(
            catalog, [pending("a", "tea", "closed for today")]
        )
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        assert [stored] == await all_items(stores, catalog)
        assert ItemState.PENDING is stored.state
        assert (UNAVAILABLE, "closed for today") == (stored.pending_reason, stored.pending_message)
        assert None is await served(stores, catalog, "a")
        (due,) = await stores.pending.list_due(catalog, 10)
        assert ("tea", 0) == (due.text, due.attempts)


async def test_groups_have_the_time_of_their_oldest_write(tmp_path: Path) -> None:
    """Of the items with a reason and message, the one that was written first counts."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        for name, message in (("a", "then"), ("b", "now"), ("c", "then"), ("d", "now")):
            clock.advance(seconds=1)
            await stores.items.upsert_many(catalog, [pending(name, "tea", message)])
        clock.advance(seconds=1)
        await stores.items.upsert_many(catalog, [pending("a", "tea", "now")])
        groups = await stores.pending.list_groups(catalog)
        seconds = {
            group.message: (group.item_count, ((group.oldest_update_time_us or 0) - START_US) / 1e6)
            for group in groups
        }
        assert {"now": (3, 2), "then": (1, 3)} == seconds


async def test_a_limited_number_of_pending_items_is_dated(tmp_path: Path) -> None:
    """Items that were created after many other pending ones are counted, but not dated."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        many = [pending(f"{number}", "tea", "an outage") for number in range(DATED_ITEMS)]
        await stores.items.upsert_many(catalog, many)
        await stores.items.upsert_many(catalog, [pending("late", "tea", "rejected")])
        outage, rejected = await stores.pending.list_groups(catalog)
        assert (DATED_ITEMS, START_US) == outage[2:]
        assert (1, None) == rejected[2:]


async def test_settling_gives_the_item_its_vector(tmp_path: Path) -> None:
    """A settled item is indexed at the version its caller wrote, and followers learn of it."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        (stored,) = await stores.items.upsert_many(catalog, [pending("a", "tea")])
        (due,) = await stores.pending.list_due(catalog, 10)
        sequence = await settle(stores, catalog, due)
        assert sequence == stores.database.commits.last_sequence > stored.sequence
        (change,) = await all_changes(stores, catalog, stored.sequence)
        assert (unit_vector("tea").tobytes(),) == change.vectors
        (item,) = await all_items(stores, catalog)
        assert ItemState.INDEXED is item.state
        assert ("", "") == (item.pending_reason, item.pending_message)
        assert stored.sequence == item.sequence
        assert [] == await stores.pending.list_due(catalog, 10)


async def test_the_old_vector_serves_while_the_new_one_is_pending(tmp_path: Path) -> None:
    """An item whose new text is pending keeps its previous vector until it is settled."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        await stores.items.upsert_many(catalog, [pending("a", "coffee")])
        assert unit_vector("tea").tobytes() == await served(stores, catalog, "a")
        (due,) = await stores.pending.list_due(catalog, 10)
        await settle(stores, catalog, due)
        assert unit_vector("coffee").tobytes() == await served(stores, catalog, "a")


async def test_no_vector_outlives_a_delete_or_the_expiry(tmp_path: Path) -> None:
    """A pending item that replaces a deleted or expired one serves no vector."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        expiring = indexed("expired", "tea", clock.now_us + 1)
        await stores.items.upsert_many(catalog, [indexed("deleted", "tea"), expiring])
        await delete_item(stores, catalog, "deleted")
        clock.advance(microseconds=1)
        await stores.items.upsert_many(catalog, [pending("deleted", "x"), pending("expired", "x")])
        assert None is await served(stores, catalog, "deleted")
        assert None is await served(stores, catalog, "expired")


async def test_settling_an_outdated_version_changes_nothing(tmp_path: Path) -> None:
    """A vector that comes after its item was written again, or deleted, does not serve."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [pending("a", "old"), pending("b", "old")])
        await stores.items.upsert_many(catalog, [pending("c", "old")])
        outdated = await stores.pending.list_due(catalog, 10)
        await stores.items.upsert_many(catalog, [indexed("a", "new"), pending("b", "newer")])
        await delete_item(stores, catalog, "c")
        items, changes = await all_items(stores, catalog), await all_changes(stores, catalog)
        due = await stores.pending.list_due(catalog, 10)
        assert [0, 0, 0] == [await settle(stores, catalog, item) for item in outdated]
        assert items == await all_items(stores, catalog)
        assert changes == await all_changes(stores, catalog)
        assert due == await stores.pending.list_due(catalog, 10)


async def test_postponing_keeps_the_item_and_stores_the_reason(tmp_path: Path) -> None:
    """A postponed item is due again after its delay, with the new reason and one more attempt."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        await stores.items.upsert_many(catalog, [pending("a", "tea")])
        (due,) = await stores.pending.list_due(catalog, 10)
        await stores.pending.postpone(catalog, due, "BUDGET_SPENT", "still closed", 1.5)
        clock.advance(seconds=1.5, microseconds=-1)
        assert [] == await stores.pending.list_due(catalog, 10)
        (item,) = await all_items(stores, catalog)
        assert ItemState.PENDING is item.state
        assert ("BUDGET_SPENT", "still closed") == (item.pending_reason, item.pending_message)
        clock.advance(microseconds=1)
        assert [1] == [item.attempts for item in await stores.pending.list_due(catalog, 10)]


async def test_postponing_an_outdated_version_changes_nothing(tmp_path: Path) -> None:
    """A failure that comes after its item was written again does not delay the new version."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [pending("a", "old")])
        (outdated,) = await stores.pending.list_due(catalog, 10)
        stored = await stores.items.upsert_many(catalog, [pending("a", "new", "its own reason")])
        due = await stores.pending.list_due(catalog, 10)
        await stores.pending.postpone(catalog, outdated, "BUDGET_SPENT", "too late", 60.0)
        assert stored == await all_items(stores, catalog)
        assert due == await stores.pending.list_due(catalog, 10)


async def test_the_longest_due_come_first(tmp_path: Path) -> None:
    """Due items come in the order of their times, as many as asked for."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        for name in "abc":
            await stores.items.upsert_many(catalog, [pending(name, f"text {name}")])
            clock.advance(microseconds=1)
        (first,) = await stores.pending.list_due(catalog, 1)
        assert "text a" == first.text
        await stores.pending.postpone(catalog, first, UNAVAILABLE, "later", 1.0)
        clock.advance(seconds=1.0)
        due = await stores.pending.list_due(catalog, 10)
        assert ["text b", "text c", "text a"] == [item.text for item in due]


async def test_a_deleted_or_expired_item_is_not_pending(tmp_path: Path) -> None:
    """Once an item is deleted, nothing is pending for it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        expiring = replace(pending("b", "tea"), item=Item("b", "tea", {}, clock.now_us + 1))
        await stores.items.upsert_many(catalog, [pending("a", "tea"), expiring])
        await delete_item(stores, catalog, "a")
        clock.advance(microseconds=1)
        await delete_expired(stores, 10)
        assert [] == await stores.pending.list_due(catalog, 10)
    assert [] == rows(tmp_path, "SELECT * FROM pending")


async def test_a_vector_that_comes_too_late_is_stored_for_its_text(tmp_path: Path) -> None:
    """The vector of an outdated version is stored for a later item with its text."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [pending("a", "old")])
        (outdated,) = await stores.pending.list_due(catalog, 10)
        await stores.items.upsert_many(catalog, [indexed("a", "new")])
        await settle(stores, catalog, outdated)
        vectors = await stores.vectors.get_many(catalog, [hash_text("old")])
        np.testing.assert_array_equal(unit_vector("old"), vectors[hash_text("old")])
