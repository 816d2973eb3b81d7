"""Writes of users and items that share commits, next to the same writes one by one."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.embedders import unit_vector
from support.row_dumps import dump
from support.stores import (
    CHOICE,
    chunks_of,
    default_catalog,
    delete_item,
    indexed,
    opened,
    rows,
    upsert_user,
)

from service import errors
from service.domain.generations import Generation
from service.domain.spaces import Model, Space
from service.domain.users import LikedItem, Preference, User
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.storage.records import UserWrite
from service.storage.stores import Stores

OTHER_SPACE = Model(Space("test", "other words", 32))
TEXTS = ["tea", "green tea", "nul \0 in it", 'élan {"a",NULL}']
IDS = ["a", "ü", "c\\x1aN", "NULL", '"', "{x,y}"]
ROUNDS = 12

Call = Callable[[], Awaitable[Any]]


class Scenario:
    """Random calls on a store, the same ones for each seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def calls(self, stores: Stores, catalog: Generation, next_id: int | None) -> list[Call]:
        """Writes of up to four users, updates of users, and writes of items, by turns."""
        calls: list[Call] = []
        for _ in range(self._random.randint(2, 8)):
            kind = self._random.random()
            if kind < 0.5:
                users = [self._user(catalog, next_id) for _ in range(self._random.randint(1, 4))]
                calls.append(partial(stores.users.upsert_many, catalog, users))
            elif kind < 0.7:
                likes = self._likes()
                change = partial(replace, liked_items=likes)
                calls.append(partial(stores.users.update, catalog, self._id(), change, None))
            else:
                item = indexed(self._id(), self._random.choice(["x", "y", "z"]))
                calls.append(partial(stores.items.upsert_many, catalog, [item]))
        return calls

    def choose_ids(self) -> list[str]:
        """Some ids."""
        return self._random.sample(IDS, 2)

    def _id(self) -> str:
        return self._random.choice(IDS)

    def _user(self, catalog: Generation, next_id: int | None) -> UserWrite:
        """A user with any preferences and likes, and the chunks of some generations."""
        texts = self._random.sample(TEXTS, self._random.randint(0, 2))
        user = User(self._id(), tuple(map(Preference, texts)), self._likes())
        ids = [catalog.generation_id, *([next_id] if next_id else [])]
        return UserWrite(user, {key: self._chunks() for key in ids if self._random.random() < 0.7})

    def _likes(self) -> tuple[LikedItem, ...]:
        ids = self._random.sample(IDS, self._random.choice([0, 1, 2, 3]))
        return tuple(LikedItem(item_id, self._random.choice([1.0, 0.5])) for item_id in ids)

    def _chunks(self) -> list[Chunk]:
        """Up to three chunks, some of them with the same text."""
        texts = self._random.choices(["x", "y", "z", "x y"], k=self._random.randint(0, 3))
        return [Chunk(hash_text(text), unit_vector(text)) for text in texts]


async def run_together(calls: Sequence[Call]) -> list[Any]:
    """Run calls that share a commit."""
    return await asyncio.gather(*(call() for call in calls), return_exceptions=True)


async def run_one_by_one(calls: Sequence[Call]) -> list[Any]:
    """Run each call in a transaction of its own."""
    outcomes: list[Any] = []
    for call in calls:
        outcomes += await asyncio.gather(call(), return_exceptions=True)
    return outcomes


async def play(folder: Path, seed: int, run: Any) -> tuple[list[Any], Any]:
    """Run a scenario; return what the calls returned, and all rows."""
    scenario, clock = Scenario(seed), FakeClock()
    returned: list[Any] = []
    next_id = None
    async with opened(folder, clock) as (stores, catalog):
        for number in range(ROUNDS):
            if number == ROUNDS // 2:
                await stores.generations.start_next(await default_catalog(stores), OTHER_SPACE)
                next_ = (await default_catalog(stores)).next
                assert next_ is not None
                next_id = next_.generation.generation_id
            returned += await run(scenario.calls(stores, catalog, next_id))
            for deleted_id in scenario.choose_ids():
                await delete_item(stores, catalog, deleted_id)
                returned.append(await stores.users.delete(catalog, deleted_id))
            clock.advance(microseconds=3)
        returned += await run(scenario.calls(stores, catalog, next_id))
    return [
        (type(outcome), str(outcome)) if isinstance(outcome, Exception) else outcome
        for outcome in returned
    ], dump(folder)


@pytest.mark.parametrize("seed", range(6))
async def test_combined_writes_leave_the_rows_of_single_ones(tmp_path: Path, seed: int) -> None:
    """Users and items that share commits return and leave the same as SQLite's one by one.

    Users repeat within a write and a commit, are pending, share vectors with each other and with
    items, and have two generations. New items start with the likes that were counted before them.
    """
    returned, tables = await play(tmp_path / "together", seed, run_together)
    CHOICE.uses_postgres = False
    expected, expected_tables = await play(tmp_path / "single", seed, run_one_by_one)
    assert expected == returned
    for name, table in expected_tables.items():
        assert table == tables[name], name
        assert table or "pending" == name


async def test_a_write_of_1000_users_with_repeated_ids(tmp_path: Path) -> None:
    """The last user of each id remains, created in the order of the first ones."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        writes = [
            UserWrite(
                User(f"u{n * 7 % 400}", (Preference(f"text {n}"),), (LikedItem(f"i{n}"),)),
                {catalog.generation_id: chunks_of(f"text {n}")},
            )
            for n in range(1_000)
        ]
        stored = await stores.users.upsert_many(catalog, writes)
        assert list(range(1, 1_001)) == [user.sequence for user in stored]
        # Each list has one like that is new.
        assert (1_000, 0) == await stores.behavior_models.read_changes(catalog.catalog_id)
    last = {user.user.user_id: user for user in stored}
    users = rows(tmp_path, "SELECT user_id, sequence FROM users ORDER BY user_key")
    assert [(user_id, user.sequence) for user_id, user in last.items()] == users
    served = rows(
        tmp_path,
        """SELECT text_hash FROM users JOIN user_vectors USING (user_key)
           JOIN vectors USING (vector_id) ORDER BY user_key""",
    )
    texts = [user.user.preferences[0].text for user in last.values()]
    assert [hash_text(text) for text in texts] == [bytes(row[0]) for row in served]


async def test_a_user_that_cannot_be_written_does_not_affect_the_others(tmp_path: Path) -> None:
    """Of writes that share a commit, only that one fails whose id the database does not take."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        like = (LikedItem("a"),)
        outcomes = await run_together(
            [
                partial(upsert_user, stores, catalog, User("before", (), like)),
                partial(
                    stores.users.upsert_many,
                    catalog,
                    [UserWrite(User("with it", (), like)), UserWrite(User("\ud800", (), like))],
                ),
                partial(stores.items.upsert_many, catalog, [indexed("item", "x")]),
                partial(upsert_user, stores, catalog, User("after", (), like)),
            ]
        )
        assert [False, True, False, False] == [isinstance(one, UnicodeError) for one in outcomes]
        for user_id, is_stored in (("before", True), ("with it", False), ("after", True)):
            assert is_stored == (await stores.users.get(catalog, user_id) is not None)
        assert (2, 0) == await stores.behavior_models.read_changes(catalog.catalog_id)
    assert [("item", 1)] == rows(tmp_path, "SELECT item_id, likes_before FROM items")


async def test_a_refused_update_leaves_the_writes_that_share_its_commit(tmp_path: Path) -> None:
    """An update that raises after it has read a gathered user stores nothing; the others do."""

    def refuse(user: User) -> User:
        raise errors.UserNotFound(f"{user.user_id} likes {len(user.liked_items)}")

    def forget(user: User) -> User:
        return replace(user, liked_items=())

    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        written = User("u", (), (LikedItem("a"), LikedItem("b")))
        first, refused, last = await run_together(
            [
                partial(upsert_user, stores, catalog, written),
                partial(stores.users.update, catalog, "u", refuse, None),
                partial(stores.users.update, catalog, "u", forget, None),
            ]
        )
        assert "u likes 2" in str(refused)
        assert (written, User("u")) == (first.user, last.user)
        assert last == await stores.users.get(catalog, "u")
        assert (3, 1) == await stores.behavior_models.read_changes(catalog.catalog_id)


async def test_the_expected_sequence_sees_the_writes_that_share_a_commit(tmp_path: Path) -> None:
    """A write that expects no user fails if the same commit or the same write has one."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        write, other = UserWrite(User("u")), UserWrite(User("v"))
        outcomes = await run_together(
            [
                partial(stores.users.upsert_many, catalog, [write], 0),
                partial(stores.users.upsert_many, catalog, [write], 0),
                partial(stores.users.upsert_many, catalog, [other, other], 0),
            ]
        )
        mismatches = [isinstance(one, errors.SequenceMismatch) for one in outcomes]
        assert [False, True, True] == mismatches
        assert None is await stores.users.get(catalog, "v")


async def test_lists_are_stored_as_json(tmp_path: Path) -> None:
    """Both stores have the same text of a user's lists, whichever characters these have."""
    user = User("u", (Preference('nul \0, \x1aN and "'),), (LikedItem("ü\\", 0.5),))
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        stored = await upsert_user(stores, catalog, user)
        assert stored == await stores.users.get(catalog, "u")
    ((preferences, liked_items),) = rows(tmp_path, "SELECT preferences, liked_items FROM users")
    assert [['nul \0, \x1aN and "', 1.0]] == json.loads(preferences)
    assert [["ü\\", 0.5]] == json.loads(liked_items)
