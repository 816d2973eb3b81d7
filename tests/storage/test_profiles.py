"""What recommendations to a user begin with."""

from pathlib import Path

from support.clock import FakeClock
from support.stores import opened, upsert_user

from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import LikedItem, User
from service.storage.profiles import USERS_AT_ONCE


async def test_the_latest_interactions_come_oldest_first(tmp_path: Path) -> None:
    """Of many interactions the latest are read; users of whom nothing is stored are left out."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        keys = [InteractionKey("u", time, item, "VIEW") for time, item in enumerate("dcba", 5)]
        await stores.interactions.record_many(generation, [Interaction(key) for key in keys])
        users = await stores.profiles.read_many(generation, ["u", "w"], 3)
        assert ["u"] == list(users)
        stored, interactions = users["u"]
        assert stored is None
        assert [(6, "c"), (7, "b"), (8, "a")] == [
            (entry.key.time_us, entry.key.item_id) for entry in interactions
        ]
        await upsert_user(stores, generation, User("v", (), (LikedItem("a"),)))
        users = await stores.profiles.read_many(generation, ["v"], 3)
        stored, interactions = users["v"]
        assert stored is not None
        assert (User("v", (), (LikedItem("a"),)), []) == (stored.user, list(interactions))


async def test_many_users_are_read(tmp_path: Path) -> None:
    """More users than are read at once are all read, each with its own interactions."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        ids = [f"user {number}" for number in range(2 * USERS_AT_ONCE + 1)]
        keys = [InteractionKey(user_id, 5, f"of {user_id}", "VIEW") for user_id in ids]
        await stores.interactions.record_many(generation, [Interaction(key) for key in keys])
        users = await stores.profiles.read_many(generation, ids, 3)
        assert {key.user_id: [key] for key in keys} == {
            user_id: [entry.key for entry in history.interactions]
            for user_id, history in users.items()
        }


async def test_the_latest_of_repeated_interactions_comes(tmp_path: Path) -> None:
    """Of the interactions of one type with an item, the latest is read, among the latest of all."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        keys = [
            InteractionKey("u", 1, "c", "VIEW"),
            InteractionKey("u", 2, "a", "LIKE"),
            InteractionKey("u", 3, "a", "VIEW"),
            InteractionKey("u", 4, "b", "VIEW", "x"),
            InteractionKey("u", 4, "b", "VIEW", "y"),
            InteractionKey("u", 5, "a", "VIEW"),
        ]
        recorded = [Interaction(key, float(number)) for number, key in enumerate(keys)]
        await stores.interactions.record_many(generation, recorded)
        users = await stores.profiles.read_many(generation, ["u"], 5)
        assert [recorded[1], recorded[4], recorded[5]] == list(users["u"].interactions)
