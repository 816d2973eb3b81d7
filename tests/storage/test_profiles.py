"""What recommendations to a user begin with."""

from pathlib import Path

from support.clock import FakeClock
from support.stores import opened, upsert_user

from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import LikedItem, User


async def test_the_latest_interactions_come_oldest_first(tmp_path: Path) -> None:
    """Of many interactions the latest are read; users without any, and unknown ones, have none."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        keys = [InteractionKey("u", time, item, "VIEW") for time in (5, 1, 9) for item in "ba"]
        await stores.interactions.record_many(generation, [Interaction(key) for key in keys])
        stored, interactions = await stores.profiles.read(generation, "u", 3)
        assert stored is None
        assert [(5, "b"), (9, "a"), (9, "b")] == [
            (entry.key.time_us, entry.key.item_id) for entry in interactions
        ]
        await upsert_user(stores, generation, User("v", (), (LikedItem("a"),)))
        stored, interactions = await stores.profiles.read(generation, "v", 3)
        assert stored is not None
        assert (User("v", (), (LikedItem("a"),)), []) == (stored.user, list(interactions))
        assert (None, []) == await stores.profiles.read(generation, "w", 3)
