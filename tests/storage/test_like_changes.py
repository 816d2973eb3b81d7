"""How much the likes of a catalog have changed since a training."""

from pathlib import Path

import pytest
from support.clock import FakeClock
from support.open_catalogs import word_stores
from support.stores import default_catalog, opened, rows, upsert_user

from service.domain.generations import Generation
from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import LikedItem, Preference, User
from service.storage.stores import Stores

A, B, C = (LikedItem(item_id) for item_id in "abc")
LESS = LikedItem("a", 0.5)


async def read(stores: Stores, generation: Generation) -> tuple[int, int]:
    return await stores.behavior_models.read_changes(generation.catalog_id)


@pytest.mark.parametrize(
    ("before", "after", "changed", "deleted"),
    [
        ((), (), 0, 0),
        ((), (A, B), 2, 0),
        ((A, B), (A, B), 0, 0),
        ((A,), (A, B, C), 2, 0),
        ((A, B), (B, A), 1, 0),  # the order says what comes next
        ((A, B), (B,), 1, 0),
        ((A, B), (), 1, 1),
        ((A, B), (B, C), 1, 0),
        ((A,), (LESS,), 1, 0),
    ],
)
async def test_a_list_of_liked_items_counts_its_changes(
    tmp_path: Path,
    before: tuple[LikedItem, ...],
    after: tuple[LikedItem, ...],
    changed: int,
    deleted: int,
) -> None:
    """New likes count each, any other change counts one, and an emptied list is a deletion."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await upsert_user(stores, generation, User("u", (), before))
        assert (len(before), 0) == await read(stores, generation)
        await upsert_user(stores, generation, User("u", (Preference("tea"),), after))
        assert (len(before) + changed, deleted) == await read(stores, generation)


async def test_a_deleted_user_is_a_deletion(tmp_path: Path) -> None:
    """The deletion of a user counts if likes go with the user, and only once."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await upsert_user(stores, generation, User("u", (), (A,)))
        await upsert_user(stores, generation, User("v", (Preference("tea"),)))
        for user_id, expected in [("v", (1, 0)), ("u", (2, 1)), ("u", (2, 1)), ("none", (2, 1))]:
            await stores.users.delete(generation, user_id)
            assert expected == await read(stores, generation)


async def test_interactions_count_once(tmp_path: Path) -> None:
    """Recorded interactions count, repeated ones do not; to delete them is a deletion."""
    interactions = [Interaction(InteractionKey("u", time, "a", "LIKE")) for time in range(3)]
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        for _ in range(2):
            await stores.interactions.record_many(generation, interactions)
            assert (3, 0) == await read(stores, generation)
        for _ in range(2):
            await stores.interactions.delete_of_user(generation, "u")
            assert (3, 1) == await read(stores, generation)


async def test_changes_belong_to_one_catalog(tmp_path: Path) -> None:
    """What changes in a catalog does not make the model of another one out of date."""
    async with word_stores(tmp_path) as (stores, _clock):
        first = (await default_catalog(stores)).serving.generation
        shop = (await stores.generations.list_catalogs())["shop"].serving.generation
        await upsert_user(stores, first, User("u", (), (A, B)))
        await upsert_user(stores, first, User("u"))
        assert ((3, 1), (0, 0)) == (await read(stores, first), await read(stores, shop))


async def test_a_failed_write_counts_nothing(tmp_path: Path) -> None:
    """A rejected write of a user changes no count."""
    async with opened(tmp_path, FakeClock()) as (stores, generation):
        await upsert_user(stores, generation, User("u", (), (A,)))
        with pytest.raises(Exception, match="sequence"):
            await stores.users.update(generation, "u", lambda user: User("u", (), (A, B)), None, 99)
        assert (1, 0) == await read(stores, generation)
    assert [(1,)] == rows(tmp_path, "SELECT like_change_count FROM catalogs")
