"""What a training reads: liked items and interactions, of each person in order of time."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from support.clock import START_US, FakeClock
from support.open_catalogs import word_stores
from support.stores import default_catalog, indexed, opened, upsert_user

from service import errors
from service.domain import limits
from service.domain.catalog_settings import DEFAULT_TYPE_WEIGHTS
from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import LikedItem, User
from service.storage.postgres.postgres_database import LONGEST_PAUSE
from service.storage.sqlite.sqlite_database import SqliteSource
from service.storage.stores import Stores
from service.storage.training_likes import EVENTS_PER_BLOCK, TrainingLikes, read_training_likes

WEIGHTS = {"LIKE": 1.0, "DISLIKE": -1.0, "VIEW": 0.25, "SKIP": 0.0}

# In the order of code points, which is not that of UTF-16 or of a language.
ODD_IDS = ["\u00e9", "e\u0301", "Z", "a b", "\ue000", "\U0001f600", "z" * 256, " "]


class Event(NamedTuple):
    """An event as a test reads it."""

    person: int
    item_id: str
    weight: float
    time_us: int


def list_events(likes: TrainingLikes) -> list[Event]:
    return [
        Event(person, likes.item_ids[item], weight, time_us)
        for person, item, weight, time_us in zip(
            likes.people.tolist(),
            likes.items.tolist(),
            likes.weights.tolist(),
            likes.times_us.tolist(),
            strict=True,
        )
    ]


def read(
    stores: Stores, generation: Generation, weights: Mapping[str, float] = WEIGHTS
) -> TrainingLikes:
    return read_training_likes(stores.database.read_source, generation.catalog_id, weights, ())


async def record(
    stores: Stores, generation: Generation, *entries: tuple[str, int, str, str]
) -> None:
    """Record interactions, each a user, a time, an item and a type."""
    interactions = [Interaction(InteractionKey(*entry)) for entry in entries]
    await stores.interactions.record_many(generation, interactions)


async def test_liked_items_are_older_than_interactions(tmp_path: Path) -> None:
    """Of each person first the liked items in order, then the interactions by time."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await upsert_user(
            stores, generation, User("b", (), (LikedItem("x", 2.0), LikedItem("y", -1.0)))
        )
        await upsert_user(stores, generation, User("a", (), (LikedItem("x"),)))
        await record(
            stores,
            generation,
            ("b", 7, "z", "LIKE"),
            ("b", 3, "z", "VIEW"),
            ("c", 5, "y", "DISLIKE"),
            ("c", 6, "y", "SKIP"),
        )
        expected = [
            Event(0, "x", 1.0, START_US),
            Event(1, "x", 2.0, START_US),
            Event(1, "y", -1.0, START_US),
            Event(1, "z", 0.25, 3),
            Event(1, "z", 1.0, 7),
            Event(2, "y", -1.0, 5),
        ]
        likes = read(stores, generation)
        assert expected == list_events(likes)
        assert 3 == likes.people_count


async def test_nobody_has_done_anything(tmp_path: Path) -> None:
    """A catalog without likes, and one whose types weigh nothing, has no events and no people."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        assert [] == list_events(read(stores, generation))
        await record(stores, generation, ("u", 1, "x", "SKIP"), ("u", 2, "x", "OTHER"))
        await upsert_user(stores, generation, User("v", (), (LikedItem("x"),)))
        likes = read(stores, generation, {"LIKE": 0.0, "DISLIKE": 0.0, "SKIP": 0.0})
        assert ([], 0, []) == (list_events(likes), likes.people_count, list(likes.item_ids))


async def test_odd_ids_stay_apart(tmp_path: Path) -> None:
    """Users and items with unusual Unicode in their ids are each one person and one item."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        for user_id in ODD_IDS:
            liked = tuple(LikedItem(item_id) for item_id in ODD_IDS)
            await upsert_user(stores, generation, User(user_id, (), liked))
        for number, user_id in enumerate([*ODD_IDS, "only interactions"]):
            await record(stores, generation, (user_id, number, f"own {number}", "VIEW"))
        likes = read(stores, generation)
        assert len(ODD_IDS) + 1 == likes.people_count
        by_person = [
            [event.item_id for event in list_events(likes) if event.person == person]
            for person in range(likes.people_count)
        ]
        user_ids = sorted([*ODD_IDS, "only interactions"])
        numbers = [[*ODD_IDS, "only interactions"].index(user_id) for user_id in user_ids]
        expected = [
            [*ODD_IDS, f"own {number}"] if number < len(ODD_IDS) else [f"own {number}"]
            for number in numbers
        ]
        assert expected == by_person


async def test_catalogs_stay_apart(tmp_path: Path) -> None:
    """The likes of a catalog are those of its own users."""
    async with word_stores(tmp_path) as (stores, _clock):
        first = (await default_catalog(stores)).serving.generation
        shop = (await stores.generations.list_catalogs())["shop"].serving.generation
        await upsert_user(stores, first, User("u", (), (LikedItem("first"),)))
        await record(stores, first, ("u", 1, "first too", "LIKE"))
        await upsert_user(stores, shop, User("u", (), (LikedItem("second"),)))
        assert ["first", "first too"] == list(read(stores, first).item_ids)
        assert ["second"] == list(read(stores, shop).item_ids)


async def test_items_keep_their_numbers(tmp_path: Path) -> None:
    """Ids of a training before keep their places, also of items that nobody likes any more."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed("y", "tea"), indexed("n", "gin")])
        await upsert_user(stores, generation, User("u", (), (LikedItem("x"), LikedItem("y"))))
        likes = read_training_likes(
            stores.database.read_source, generation.catalog_id, WEIGHTS, ["gone", "y"]
        )
        assert ["gone", "y", "x"] == list(likes.item_ids)
        assert [2, 1] == likes.items.tolist()
        assert 2 == likes.catalog_item_count


async def test_many_events_are_read_in_blocks(tmp_path: Path) -> None:
    """More events than fit into a block are all there, in order."""
    count = limits.LIKED_ITEMS
    liked = tuple(LikedItem(str(number)) for number in range(count))
    people = EVENTS_PER_BLOCK // count + 1
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        for person in range(people):
            await upsert_user(stores, generation, User(str(person), (), liked))
        likes = read(stores, generation)
    np.testing.assert_array_equal(np.repeat(np.arange(people), count), likes.people)
    np.testing.assert_array_equal(np.tile(np.arange(count), people), likes.items)


@pytest.mark.postgres
async def test_a_reader_may_pause(tmp_path: Path) -> None:
    """Work on the events that were read does not end the transaction, as in a write."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        with stores.database.read_source.open() as connection:
            setting = connection.execute(
                "SELECT current_setting('idle_in_transaction_session_timeout')"
            ).fetchone()
    assert (LONGEST_PAUSE,) == setting


def test_a_missing_database_is_reported(tmp_path: Path) -> None:
    """A database that cannot be read raises StoreUnavailable."""
    with pytest.raises(errors.StoreUnavailable):
        read_training_likes(SqliteSource(tmp_path / "none"), 1, DEFAULT_TYPE_WEIGHTS, ())
