from pathlib import Path

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import unit_vector
from support.stores import PAGE_BYTES, all_changes, all_items, indexed, opened, rows

from service import errors
from service.domain.items import Item, ItemState, JsonValue
from service.domain.users import LikedItem, Preference, User
from service.domain.vectors import Chunk, hash_text
from service.storage.records import ItemWrite


async def test_what_was_written_survives_a_reopening(tmp_path: Path) -> None:
    """Items, users and vectors read back after closing and opening are the ones written."""
    clock = FakeClock()
    attributes: dict[str, JsonValue] = {"deep": {"list": [1.5, None, True, "é"]}, "": ""}
    item = Item("ä", "a text\nof two lines", attributes, clock.now_us + 1)
    user = User("u", (Preference("tea", -0.5),), (LikedItem("ä", 2.0), LikedItem("gone")))
    vector = unit_vector("tea")
    async with opened(tmp_path, clock) as (store, catalog):
        write = ItemWrite(item, [Chunk(hash_text(item.text), unit_vector(item.text))])
        (stored,) = await store.upsert_items(catalog, [write])
        stored_user = await store.upsert_user(catalog, user, [Chunk(hash_text("tea"), vector)])
    async with opened(tmp_path, clock) as (store, catalog):
        assert {"ä": stored} == await store.get_items(catalog, ["ä", "missing"])
        assert stored_user == await store.get_user(catalog, "u")
        assert item == stored.item
        assert user == stored_user.user
        found = await store.vectors(catalog, [hash_text("tea"), hash_text("coffee")])
        assert [hash_text("tea")] == list(found)
        np.testing.assert_array_equal(vector, found[hash_text("tea")])


async def test_all_writes_share_one_growing_sequence(tmp_path: Path) -> None:
    """Each write of items and users has a higher number than the one before, reopened or not."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        batch = await store.upsert_items(catalog, [indexed("a", "x"), indexed("b", "y")])
        sequences = [each.sequence for each in batch]
        sequences.append((await store.upsert_user(catalog, User("u"))).sequence)
        sequences.append(await store.delete_item(catalog, "a"))
        await store.delete_user(catalog, "u")
        last = store.last_sequence
        assert sequences[-1] < last
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        assert last == store.last_sequence
        (again,) = await store.upsert_items(catalog, [indexed("a", "x")])
        sequences.append(again.sequence)
        assert again.sequence == store.last_sequence
    assert sorted(set(sequences)) == sequences


async def test_the_later_of_two_writes_to_one_item_stays(tmp_path: Path) -> None:
    """Within one call as between calls the later write replaces the whole item."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "one")])
        _, last = await store.upsert_items(catalog, [indexed("a", "two"), indexed("a", "three")])
        assert [last] == await all_items(store, catalog)
        assert "three" == last.item.text


async def test_expected_sequence_guards_the_version(tmp_path: Path) -> None:
    """A write that expects a sequence goes through only while the item is there."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        (first,) = await store.upsert_items(catalog, [indexed("a", "one")], 0)
        (second,) = await store.upsert_items(catalog, [indexed("a", "two")], first.sequence)
        for outdated in (0, first.sequence, second.sequence + 1):
            with pytest.raises(errors.SequenceMismatch, match=f" {second.sequence}, not"):
                await store.upsert_items(catalog, [indexed("a", "three")], outdated)
        assert [second] == await all_items(store, catalog)


async def test_a_deleted_or_expired_item_has_sequence_zero(tmp_path: Path) -> None:
    """Expecting no such item goes through where the item was deleted or has expired."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        await store.upsert_items(
            catalog, [indexed("deleted", "x"), indexed("expired", "x", clock.now_us + 1)]
        )
        await store.delete_item(catalog, "deleted")
        clock.advance(microseconds=1)
        again = [indexed("deleted", "y"), indexed("expired", "y")]
        stored = await store.upsert_items(catalog, again, 0)
        assert stored == await all_items(store, catalog)


async def test_a_deleted_item_is_a_tombstone_among_the_changes(tmp_path: Path) -> None:
    """A delete shows once among the changes, without a vector, and takes the content along."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "one"), indexed("b", "two")])
        before = store.last_sequence
        sequence = await store.delete_item(catalog, "a")
        changes, reached = await store.changes(catalog, before, 10)
        assert [("a", (), None)] == [(c.item_id, c.vectors, c.expire_time_us) for c in changes]
        assert sequence == reached
        assert {} == await store.get_items(catalog, ["a"])
        assert [("", "{}")] == rows(tmp_path, "SELECT text, attributes FROM items WHERE deleted")


async def test_what_is_not_there_is_not_deleted(tmp_path: Path) -> None:
    """Deleting an item or user that is missing or already deleted is told and changes nothing."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "one")])
        await store.delete_item(catalog, "a")
        changed = await all_changes(store, catalog)
        assert 0 == await store.delete_item(catalog, "a")
        assert 0 == await store.delete_item(catalog, "b")
        assert not await store.delete_user(catalog, "u")
        assert changed == await all_changes(store, catalog)


async def test_changes_come_in_order_and_in_parts(tmp_path: Path) -> None:
    """Following in small steps leads through every item once, to the last sequence."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed(f"i{n}", f"word{n}") for n in range(7)])
        await store.upsert_items(catalog, [indexed("i3", "other")])
        await store.delete_item(catalog, "i0")
        await store.upsert_user(catalog, User("u"))
        seen, after = [], 0
        while after < store.last_sequence:
            changes, after = await store.changes(catalog, after, 2)
            seen += [change.item_id for change in changes]
        assert ["i1", "i2", "i4", "i5", "i6", "i3", "i0"] == seen


async def test_an_expired_item_is_gone_before_it_is_buried(tmp_path: Path) -> None:
    """From its microsecond on no read returns an expired item, and no delete finds it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "x", clock.now_us + 2), indexed("b", "x")])
        clock.advance(microseconds=1)
        assert ["a", "b"] == [each.item.item_id for each in await all_items(store, catalog)]
        clock.advance(microseconds=1)
        page = await store.list_items(catalog, "", 10, PAGE_BYTES)
        assert ["b"] == [each.item.item_id for each in page.items]
        assert 1 == page.total
        assert ["b"] == list(await store.get_items(catalog, ["a", "b"]))
        assert 0 == await store.delete_item(catalog, "a")


async def test_expired_items_are_buried_as_tombstones(tmp_path: Path) -> None:
    """Burying turns as many expired items as asked for into tombstones and leaves the others."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        expiring = [indexed(f"e{n}", "x", clock.now_us + 1) for n in range(3)]
        later = indexed("later", "x", clock.now_us + 2)
        await store.upsert_items(catalog, [*expiring, later, indexed("never", "x")])
        assert 0 == await store.bury_expired(10)
        clock.advance(microseconds=1)
        before = store.last_sequence
        assert before + 2 == await store.bury_expired(2)
        assert before + 3 == await store.bury_expired(2)
        assert 0 == await store.bury_expired(2)
        buried = await all_changes(store, catalog, before)
        assert ["e0", "e1", "e2"] == sorted(change.item_id for change in buried)
        assert {()} == {change.vectors for change in buried}
        assert ["later", "never"] == [i.item.item_id for i in await all_items(store, catalog)]


async def test_an_expired_item_can_be_written_again(tmp_path: Path) -> None:
    """An item written after it expired lives on, and burying does not touch it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "x", clock.now_us + 1)])
        clock.advance(microseconds=1)
        stored = await store.upsert_items(catalog, [indexed("a", "x")])
        assert 0 == await store.bury_expired(10)
        assert stored == await all_items(store, catalog)


async def test_pages_go_by_byte_order(tmp_path: Path) -> None:
    """Pages lead through all items once, in the byte order of their ids."""
    ids = ["a", "B", "b", "Z", "10", "9", "é", "\uffee", "\U0001f600", "a/b", "a b", "~"]
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed(item_id, "x") for item_id in ids])
        seen: list[str] = []
        more = True
        while more:
            page = await store.list_items(catalog, seen[-1] if seen else "", 5, PAGE_BYTES)
            assert len(ids) == page.total
            seen += [each.item.item_id for each in page.items]
            more = page.more
        assert sorted(ids, key=str.encode) == seen


async def test_a_full_last_page_is_the_last(tmp_path: Path) -> None:
    """A page that ends with the last item says that no more follow."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "x"), indexed("b", "x")])
        assert not (await store.list_items(catalog, "", 2, PAGE_BYTES)).more
        assert (await store.list_items(catalog, "", 1, PAGE_BYTES)).more
        assert not (await store.list_items(catalog, "a", 1, PAGE_BYTES)).more


async def test_a_page_ends_once_it_exceeds_its_bytes(tmp_path: Path) -> None:
    """A page closes with the item whose text and attributes take it beyond the bytes."""
    items = [Item(name, "é" * 50) for name in "abcd"]
    size = 2 * len("é".encode() * 50 + b"{}")
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        vector = unit_vector("x")
        writes = [ItemWrite(item, [Chunk(hash_text(item.text), vector)]) for item in items]
        await store.upsert_items(catalog, writes)
        for max_bytes, length in ((0, 1), (size - 1, 2), (size, 3)):
            page = await store.list_items(catalog, "", 10, max_bytes)
            assert (length, True) == (len(page.items), page.more)


async def test_many_items_are_read_at_once(tmp_path: Path) -> None:
    """As many items as an import takes can be read by their ids in one call."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        names = [f"i{n:04}" for n in range(1_234)]
        await store.upsert_items(catalog, [indexed(name, "x") for name in names])
        assert names == sorted(await store.get_items(catalog, [*names, "other"]))


async def test_one_text_has_one_vector(tmp_path: Path) -> None:
    """The same text under two items and a user's preference is stored once."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_items(catalog, [indexed("a", "tea"), indexed("b", "tea")])
        await store.upsert_items(catalog, [indexed("a", "tea"), indexed("c", "coffee")])
        chunks = [Chunk(hash_text("tea"), unit_vector("tea"))]
        await store.upsert_user(catalog, User("u", (Preference("tea"),)), chunks)
    assert [(2,)] == rows(tmp_path, "SELECT count(*) FROM vectors")


async def test_a_vector_outlives_its_item(tmp_path: Path) -> None:
    """A text embedded once is known for good, even when no item has it any more."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        (stored,) = await store.upsert_items(catalog, [indexed("a", "tea")])
        await store.delete_item(catalog, "a")
        assert [hash_text("tea")] == list(await store.vectors(catalog, [hash_text("tea")]))
        assert ItemState.INDEXED is stored.state


async def test_a_user_is_replaced_and_deleted_whole(tmp_path: Path) -> None:
    """The later write of a user replaces the former, and a deleted one is gone."""
    async with opened(tmp_path, FakeClock()) as (store, catalog):
        await store.upsert_user(catalog, User("u", (Preference("tea"),)))
        stored = await store.upsert_user(catalog, User("u", (), (LikedItem("a"),)))
        assert stored == await store.get_user(catalog, "u")
        assert await store.delete_user(catalog, "u")
        assert None is await store.get_user(catalog, "u")
