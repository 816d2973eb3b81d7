"""What recommendations to a user begin with."""

from pathlib import Path

from support.clock import FakeClock
from support.stores import opened, upsert_user

from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import LikedItem, User


async def test_the_latest_interactions_come_oldest_first(tmp_path: Path) -> None:
    """Of many interactions the latest are read; users without any, and unknown ones, have none."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        keys = [InteractionKey("u", time, item, "VIEW") for time, item in enumerate("dcba", 5)]
        await stores.interactions.record_many(generation, [Interaction(key) for key in keys])
        stored, interactions = await stores.profiles.read(generation, "u", 3)
        assert stored is None
        assert [(6, "c"), (7, "b"), (8, "a")] == [
            (entry.key.time_us, entry.key.item_id) for entry in interactions
        ]
        await upsert_user(stores, generation, User("v", (), (LikedItem("a"),)))
        stored, interactions = await stores.profiles.read(generation, "v", 3)
        assert stored is not None
        assert (User("v", (), (LikedItem("a"),)), []) == (stored.user, list(interactions))
        assert (None, []) == await stores.profiles.read(generation, "w", 3)


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
        _stored, interactions = await stores.profiles.read(generation, "u", 5)
        assert [recorded[1], recorded[4], recorded[5]] == list(interactions)
