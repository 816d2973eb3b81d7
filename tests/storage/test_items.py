from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import unit_vector
from support.stores import (
    PAGE_BYTES,
    all_changes,
    all_items,
    chunks_of,
    delete_expired,
    delete_item,
    indexed,
    opened,
    pending,
    rows,
    upsert_user,
)

from service import errors
from service.domain.items import Item, ItemState, JsonValue
from service.domain.users import LikedItem, Preference, User
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.storage.records import ItemVectors, ItemWrite


async def test_what_was_written_survives_a_reopening(tmp_path: Path) -> None:
    """Items, users and vectors read back after closing and opening are the ones written."""
    clock = FakeClock()
    attributes: dict[str, JsonValue] = {"deep": {"list": [1.5, None, True, "é"]}, "": ""}
    item = Item("ä", "a text\nof two lines", attributes, clock.now_us + 1)
    user = User("u", (Preference("tea", -0.5),), (LikedItem("ä", 2.0), LikedItem("gone")))
    vector = unit_vector("tea")
    async with opened(tmp_path, clock) as (stores, catalog):
        write = ItemWrite(item, ItemVectors(chunks_of(item.text)))
        (stored,) = await stores.items.upsert_many(catalog, [write])
        stored_user = await upsert_user(stores, catalog, user, [Chunk(hash_text("tea"), vector)])
    async with opened(tmp_path, clock) as (stores, catalog):
        assert {"ä": stored} == await stores.items.get_many(catalog, ["ä", "missing"])
        assert stored_user == await stores.users.get(catalog, "u")
        assert item == stored.item
        assert user == stored_user.user
        vectors = await stores.vectors.get_many(catalog, [hash_text("tea"), hash_text("coffee")])
        assert [hash_text("tea")] == list(vectors)
        np.testing.assert_array_equal(vector, vectors[hash_text("tea")])


async def test_all_writes_share_one_growing_sequence(tmp_path: Path) -> None:
    """Each write of items and users has a higher number than the one before, reopened or not."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        batch = await stores.items.upsert_many(catalog, [indexed("a", "x"), indexed("b", "y")])
        sequences = [stored.sequence for stored in batch]
        sequences.append((await upsert_user(stores, catalog, User("u"))).sequence)
        sequences.append(await delete_item(stores, catalog, "a"))
        await stores.users.delete(catalog, "u")
        last = stores.database.commits.last_sequence
        assert sequences[-1] < last
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        assert last == stores.database.commits.last_sequence
        (again,) = await stores.items.upsert_many(catalog, [indexed("a", "x")])
        sequences.append(again.sequence)
        assert again.sequence == stores.database.commits.last_sequence
    assert sorted(set(sequences)) == sequences


async def test_the_later_of_two_writes_to_one_item_stays(tmp_path: Path) -> None:
    """Within one call as between calls the later write replaces the whole item."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "one")])
        _, last = await stores.items.upsert_many(
            catalog, [indexed("a", "two"), indexed("a", "three")]
        )
        assert [last] == await all_items(stores, catalog)
        assert "three" == last.item.text


async def test_expected_sequence_guards_the_version(tmp_path: Path) -> None:
    """A write that expects a sequence goes through only while the item is there."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        (first,) = await stores.items.upsert_many(catalog, [indexed("a", "one")], 0)
        (second,) = await stores.items.upsert_many(catalog, [indexed("a", "two")], first.sequence)
        for outdated in (0, first.sequence, second.sequence + 1):
            with pytest.raises(errors.SequenceMismatch, match=f" {second.sequence}, not"):
                await stores.items.upsert_many(catalog, [indexed("a", "three")], outdated)
        assert [second] == await all_items(stores, catalog)


async def test_a_deleted_or_expired_item_has_sequence_zero(tmp_path: Path) -> None:
    """Expecting no such item goes through where the item was deleted or has expired."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        await stores.items.upsert_many(
            catalog, [indexed("deleted", "x"), indexed("expired", "x", clock.now_us + 1)]
        )
        await delete_item(stores, catalog, "deleted")
        clock.advance(microseconds=1)
        again = [indexed("deleted", "y"), indexed("expired", "y")]
        stored = await stores.items.upsert_many(catalog, again, 0)
        assert stored == await all_items(stores, catalog)


async def test_a_deleted_item_is_a_tombstone_among_the_changes(tmp_path: Path) -> None:
    """A delete shows once among the changes, without a vector, and takes the content along."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "one"), indexed("b", "two")])
        before = stores.database.commits.last_sequence
        sequence = await delete_item(stores, catalog, "a")
        changes, reached, _ = await stores.items.changes(catalog, before, 10)
        assert [("a", (), None)] == [(c.item_id, c.vectors, c.expire_time_us) for c in changes]
        assert sequence == reached
        assert {} == await stores.items.get_many(catalog, ["a"])
        assert [("", "{}")] == rows(tmp_path, "SELECT text, attributes FROM items WHERE deleted")


async def test_what_is_not_there_is_not_deleted(tmp_path: Path) -> None:
    """Deleting an item or user that is missing or already deleted returns 0 and changes nothing."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "one")])
        await delete_item(stores, catalog, "a")
        changed = await all_changes(stores, catalog)
        assert 0 == await delete_item(stores, catalog, "a")
        assert 0 == await delete_item(stores, catalog, "b")
        assert not await stores.users.delete(catalog, "u")
        assert changed == await all_changes(stores, catalog)


async def test_changes_come_in_order_and_in_parts(tmp_path: Path) -> None:
    """Following in small steps leads through every item once, to the last sequence."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed(f"i{n}", f"word{n}") for n in range(7)])
        await stores.items.upsert_many(catalog, [indexed("i3", "other")])
        await delete_item(stores, catalog, "i0")
        await upsert_user(stores, catalog, User("u"))
        seen, after = [], 0
        while after < stores.database.commits.last_sequence:
            changes, after, _ = await stores.items.changes(catalog, after, 2)
            seen += [change.item_id for change in changes]
        assert ["i1", "i2", "i4", "i5", "i6", "i3", "i0"] == seen


async def test_an_expired_item_is_gone_before_it_is_deleted(tmp_path: Path) -> None:
    """From its microsecond on no read returns an expired item, and no delete finds it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        await stores.items.upsert_many(
            catalog, [indexed("a", "x", clock.now_us + 2), indexed("b", "x")]
        )
        clock.advance(microseconds=1)
        assert ["a", "b"] == [item.item.item_id for item in await all_items(stores, catalog)]
        clock.advance(microseconds=1)
        page = await stores.items.list_page(catalog, "", 10, PAGE_BYTES)
        assert ["b"] == [item.item.item_id for item in page.items]
        assert 1 == page.total
        assert ["b"] == list(await stores.items.get_many(catalog, ["a", "b"]))
        assert 0 == await delete_item(stores, catalog, "a")


async def test_expired_items_become_tombstones(tmp_path: Path) -> None:
    """As many expired items as requested become tombstones, and the others stay."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        expiring = [indexed(f"e{n}", "x", clock.now_us + 1) for n in range(3)]
        later = indexed("later", "x", clock.now_us + 2)
        await stores.items.upsert_many(catalog, [*expiring, later, indexed("never", "x")])
        assert 0 == await delete_expired(stores, 10)
        clock.advance(microseconds=1)
        before = stores.database.commits.last_sequence
        assert before + 2 == await delete_expired(stores, 2)
        assert before + 3 == await delete_expired(stores, 2)
        assert 0 == await delete_expired(stores, 2)
        deleted = await all_changes(stores, catalog, before)
        assert ["e0", "e1", "e2"] == sorted(change.item_id for change in deleted)
        assert {()} == {change.vectors for change in deleted}
        assert ["later", "never"] == [i.item.item_id for i in await all_items(stores, catalog)]


async def test_an_expired_item_can_be_written_again(tmp_path: Path) -> None:
    """An item written after it expired stays, and the deletion of expired items skips it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "x", clock.now_us + 1)])
        clock.advance(microseconds=1)
        stored = await stores.items.upsert_many(catalog, [indexed("a", "x")])
        assert 0 == await delete_expired(stores, 10)
        assert stored == await all_items(stores, catalog)


async def test_pages_go_by_byte_order(tmp_path: Path) -> None:
    """Pages lead through all items once, in the byte order of their ids."""
    ids = ["a", "B", "b", "Z", "10", "9", "é", "\uffee", "\U0001f600", "a/b", "a b", "~"]
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed(item_id, "x") for item_id in ids])
        seen: list[str] = []
        more = True
        while more:
            page = await stores.items.list_page(catalog, seen[-1] if seen else "", 5, PAGE_BYTES)
            assert len(ids) == page.total
            seen += [item.item.item_id for item in page.items]
            more = page.more
        assert sorted(ids, key=str.encode) == seen


async def test_a_full_last_page_is_the_last(tmp_path: Path) -> None:
    """A page that ends with the last item says that no more follow."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "x"), indexed("b", "x")])
        assert not (await stores.items.list_page(catalog, "", 2, PAGE_BYTES)).more
        assert (await stores.items.list_page(catalog, "", 1, PAGE_BYTES)).more
        assert not (await stores.items.list_page(catalog, "a", 1, PAGE_BYTES)).more


async def test_a_page_ends_once_it_exceeds_its_bytes(tmp_path: Path) -> None:
    """A page closes with the item whose text and attributes take it beyond the bytes."""
    items = [Item(name, "é" * 50) for name in "abcd"]
    size = 2 * len("é".encode() * 50 + b"{}")
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        writes = [ItemWrite(item, ItemVectors(chunks_of("x"))) for item in items]
        await stores.items.upsert_many(catalog, writes)
        for max_bytes, length in ((0, 1), (size - 1, 2), (size, 3)):
            page = await stores.items.list_page(catalog, "", 10, max_bytes)
            assert (length, True) == (len(page.items), page.more)


async def test_many_items_are_read_at_once(tmp_path: Path) -> None:
    """As many items as an import takes can be read by their ids in one call."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        names = [f"i{n:04}" for n in range(1_234)]
        await stores.items.upsert_many(catalog, [indexed(name, "x") for name in names])
        assert names == sorted(await stores.items.get_many(catalog, [*names, "other"]))


async def test_one_text_has_one_vector(tmp_path: Path) -> None:
    """The same text under two items and a user's preference is stored once."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed("a", "tea"), indexed("b", "tea")])
        await stores.items.upsert_many(catalog, [indexed("a", "tea"), indexed("c", "coffee")])
        chunks = [Chunk(hash_text("tea"), unit_vector("tea"))]
        await upsert_user(stores, catalog, User("u", (Preference("tea"),)), chunks)
    assert [(2,)] == rows(tmp_path, "SELECT count(*) FROM vectors")


async def test_a_vector_outlives_its_item(tmp_path: Path) -> None:
    """A text embedded once is known forever, even when no item has it any more."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        (stored,) = await stores.items.upsert_many(catalog, [indexed("a", "tea")])
        await delete_item(stores, catalog, "a")
        assert [hash_text("tea")] == list(
            await stores.vectors.get_many(catalog, [hash_text("tea")])
        )
        assert ItemState.INDEXED is stored.state


@pytest.mark.parametrize(
    "text", ["\0", "tea\0cake", "\x1a", "\x1aN\0\x1aE", "\\x00 %s ? :name", "\U0001f375\ufeff"]
)
async def test_texts_of_any_characters_are_kept(tmp_path: Path, text: str) -> None:
    """A text is stored as it is, also with characters that a database could take for its own."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        (stored,) = await stores.items.upsert_many(catalog, [indexed("a", text)])
        assert {"a": stored} == await stores.items.get_many(catalog, ["a"])
        assert text == stored.item.text
        changed = await stores.items.update(
            catalog, "a", lambda item: replace(item, attributes={"key": text})
        )
        assert [changed] == await all_items(stores, catalog)
        await stores.items.upsert_many(catalog, [pending("b", text)])
        (item,) = await stores.pending.list_due(catalog, 2)
        assert text == item.text
        assert 0 < await stores.pending.settle(catalog, item, chunks_of(text))
