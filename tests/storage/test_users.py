import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.stores import PAGE_BYTES, chunks_of, opened, rows, upsert_user

from service import errors
from service.domain.users import LikedItem, Preference, User
from service.embedding.prompts import hash_text
from service.storage.records import UserWrite


def liking(user: User) -> User:
    return replace(user, liked_items=(*user.liked_items, LikedItem("a")))


async def test_a_user_is_replaced_and_deleted_whole(tmp_path: Path) -> None:
    """The later write of a user replaces the former, and a deleted one is gone."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await upsert_user(stores, catalog, User("u", (Preference("tea"),)))
        stored = await upsert_user(stores, catalog, User("u", (), (LikedItem("a"),)))
        assert stored == await stores.users.get(catalog, "u")
        deleted = await stores.users.delete(catalog, "u")
        assert stored.sequence < deleted == stores.database.commits.last_sequence
        assert None is await stores.users.get(catalog, "u")
        assert 0 == await stores.users.delete(catalog, "u")


async def test_users_are_stored_in_order_and_together(tmp_path: Path) -> None:
    """Of two writes to one user the later remains, and each has a sequence number of its own."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        writes = [UserWrite(User(name, (Preference(name),))) for name in ("a", "b")]
        first, second = await stores.users.upsert_many(
            catalog, [writes[0], replace(writes[1], user=User("a"))]
        )
        assert first.sequence + 1 == second.sequence
        assert second == await stores.users.get(catalog, "a")
        assert 1 == await stores.users.count(catalog)


async def test_the_expected_sequence_guards_a_user(tmp_path: Path) -> None:
    """A write that expects a sequence number goes through only while the user has it."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        writes = [UserWrite(User("u"))]
        (first,) = await stores.users.upsert_many(catalog, writes, 0)
        (second,) = await stores.users.upsert_many(catalog, writes, first.sequence)
        for outdated in (0, first.sequence, second.sequence + 1):
            with pytest.raises(errors.SequenceMismatch, match=f" {second.sequence}, not"):
                await stores.users.upsert_many(catalog, writes, outdated)
            with pytest.raises(errors.SequenceMismatch):
                await stores.users.update(catalog, "u", liking, None, outdated)
        assert second == await stores.users.get(catalog, "u")
        updated = await stores.users.update(catalog, "u", liking, None, second.sequence)
        assert updated == await stores.users.get(catalog, "u")


async def test_a_failed_write_stores_none_of_its_users(tmp_path: Path) -> None:
    """Users before the one that does not have the expected sequence are not stored either."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        stored = await upsert_user(stores, catalog, User("b"))
        chunks = {catalog.generation_id: chunks_of("tea")}
        writes = [UserWrite(User("a"), chunks), UserWrite(User("b", (Preference("tea"),)))]
        with pytest.raises(errors.SequenceMismatch):
            await stores.users.upsert_many(catalog, writes, 0)
        assert None is await stores.users.get(catalog, "a")
        assert stored == await stores.users.get(catalog, "b")
        assert {} == await stores.vectors.get_many(catalog, [hash_text("tea")])


async def test_an_update_changes_the_stored_user(tmp_path: Path) -> None:
    """Concurrent updates of one user add up, and each stores the vectors that it brings."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        before = await upsert_user(stores, catalog, User("u", (Preference("tea"),)))
        chunks = {catalog.generation_id: chunks_of("rum")}

        def prefer(user: User) -> User:
            return replace(user, preferences=(*user.preferences, Preference("rum")))

        await asyncio.gather(
            stores.users.update(catalog, "u", liking, None),
            stores.users.update(catalog, "u", prefer, chunks),
            stores.users.update(catalog, "u", liking, None),
        )
        stored = await stores.users.get(catalog, "u")
        assert stored is not None
        assert (Preference("tea"), Preference("rum")) == stored.user.preferences
        assert (LikedItem("a"), LikedItem("a")) == stored.user.liked_items
        assert before.sequence + 3 == stored.sequence
        assert [hash_text("rum")] == list(
            await stores.vectors.get_many(catalog, [hash_text("rum")])
        )


async def test_an_update_of_a_missing_user_is_refused(tmp_path: Path) -> None:
    """An update neither creates a user nor keeps the vectors that it brought."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        chunks = {catalog.generation_id: chunks_of("rum")}
        for expected in (None, 1):
            with pytest.raises(errors.UserNotFound):
                await stores.users.update(catalog, "u", liking, chunks, expected)
        assert 0 == await stores.users.count(catalog)
    assert [(0,)] == rows(tmp_path, "SELECT count(*) FROM vectors")


async def test_pages_of_users_go_by_byte_order(tmp_path: Path) -> None:
    """Pages lead through all users once, in the byte order of their ids."""
    ids = ["a", "B", "b", "10", "9", "é", "\uffee", "\U0001f600", "~"]
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        await stores.users.upsert_many(catalog, [UserWrite(User(name)) for name in ids])
        seen: list[str] = []
        more = True
        while more:
            page = await stores.users.list_page(catalog, seen[-1] if seen else "", 4, PAGE_BYTES)
            assert len(ids) == page.total
            assert 4 >= len(page.users)
            seen += [user.user.user_id for user in page.users]
            more = page.more
        assert sorted(ids, key=str.encode) == seen


async def test_a_page_of_users_ends_once_it_exceeds_its_bytes(tmp_path: Path) -> None:
    """A page closes with the user whose preferences and likes take it beyond the bytes."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        users = [User(name, (Preference("x" * 50),)) for name in "abcd"]
        await stores.users.upsert_many(catalog, [UserWrite(user) for user in users])
        ((size,),) = rows(
            tmp_path, "SELECT sum(length(preferences) + length(liked_items)) / 2 FROM users"
        )
        for max_bytes, length in ((0, 1), (size - 1, 2), (size, 3)):
            page = await stores.users.list_page(catalog, "", 10, max_bytes)
            assert (length, True) == (len(page.users), page.more)
        page = await stores.users.list_page(catalog, "", 4, PAGE_BYTES)
        assert (users, False) == ([user.user for user in page.users], page.more)
