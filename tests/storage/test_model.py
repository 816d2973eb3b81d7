import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import unit_vector
from support.stores import (
    all_items,
    chunks_of,
    delete_expired,
    delete_item,
    indexed,
    opened,
    pending,
    rows,
)

from service import errors
from service.domain.generations import Generation
from service.domain.items import Item, ItemState, StoredItem
from service.domain.users import LikedItem, Preference, StoredUser, User
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.storage.records import UserWrite
from service.storage.stores import Stores

pytestmark = pytest.mark.slow

IDS = [f"i{n}" for n in range(12)]
TEXTS = [f"text {n}" for n in range(8)]
STEPS = 250
REOPENINGS = 4


@dataclass
class Model:
    """What the store should hold: items, what serves them, users, and a follower of changes."""

    clock: FakeClock = field(default_factory=FakeClock)
    items: dict[str, StoredItem] = field(default_factory=dict)
    serving: dict[str, bytes | None] = field(default_factory=dict)
    users: dict[str, StoredUser] = field(default_factory=dict)
    followed: dict[str, bytes] = field(default_factory=dict)
    sequence: int = 0
    deletions_sequence: int = 0
    like_changes: tuple[int, int] = (0, 0)

    def change_likes(self, former: StoredUser | None, stored: StoredUser | None) -> None:
        """Counts the new likes of a user, at least one change, and an emptied list."""
        before = former.user.liked_items if former else ()
        after = stored.user.liked_items if stored else ()
        if before != after:
            changed, deletions = self.like_changes
            new = len({*after} - {*before})
            self.like_changes = (changed + max(new, 1), deletions + (not after))

    def forget_expired(self) -> None:
        """Drops the items whose time has come."""
        for item_id, stored in list(self.items.items()):
            expire_time_us = stored.item.expire_time_us
            if expire_time_us is not None and expire_time_us <= self.clock.now_us:
                del self.items[item_id], self.serving[item_id]


class Walk:
    """Random steps done to a store and to its model alike."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.model = Model()

    async def step(self, stores: Stores, catalog: Generation) -> None:
        """Does any one thing."""
        steps: list[Callable[[Stores, Generation], Awaitable[None]]] = [
            self.upsert,
            self.upsert,
            self.upsert_pending,
            self.update,
            self.delete,
            self.settle,
            self.user,
            self.pass_time,
            self.purge,
            self.lag,
        ]
        before = stores.database.commits.last_sequence
        await self.random.choice(steps)(stores, catalog)
        assert before <= stores.database.commits.last_sequence
        self.model.forget_expired()

    async def upsert(self, stores: Stores, catalog: Generation) -> None:
        """Writes up to three items with their vectors, some of which expire soon."""
        writes = []
        for _ in range(self.random.randint(1, 3)):
            expiring = self.random.random() < 0.3
            expire_time_us = self.model.clock.now_us + self.random.randint(1, 9)
            item_id, text = self.random.choice(IDS), self.random.choice(TEXTS)
            writes.append(indexed(item_id, text, expire_time_us if expiring else None))
        for stored in await stores.items.upsert_many(catalog, writes):
            self.model.items[stored.item.item_id] = stored
            self.model.serving[stored.item.item_id] = unit_vector(stored.item.text).tobytes()

    async def upsert_pending(self, stores: Stores, catalog: Generation) -> None:
        """Writes an item without a vector."""
        item_id = self.random.choice(IDS)
        text = f"{self.random.choice(TEXTS)} of {item_id}"  # identifies the item of a due text
        (stored,) = await stores.items.upsert_many(catalog, [pending(item_id, text)])
        self.model.items[item_id] = stored
        self.model.serving.setdefault(item_id, None)

    async def update(self, stores: Stores, catalog: Generation) -> None:
        """Changes the attributes of an item, which may be missing, and removes its expiry."""
        item_id, size = self.random.choice(IDS), self.random.random()

        def change(item: Item) -> Item:
            return replace(item, attributes={**item.attributes, "size": size}, expire_time_us=None)

        if item_id not in self.model.items:
            with pytest.raises(errors.ItemNotFound):
                await stores.items.update(catalog, item_id, change)
            return
        before = self.model.items[item_id]
        stored = await stores.items.update(catalog, item_id, change)
        assert before.sequence < stored.sequence
        expected = replace(before, item=change(before.item), sequence=stored.sequence)
        assert replace(expected, update_time_us=self.model.clock.now_us) == stored
        self.model.items[item_id] = stored

    async def delete(self, stores: Stores, catalog: Generation) -> None:
        """Deletes an item, which may be missing."""
        item_id = self.random.choice(IDS)
        deleted = await delete_item(stores, catalog, item_id)
        assert (item_id in self.model.items) == bool(deleted)
        self.model.items.pop(item_id, None)
        self.model.serving.pop(item_id, None)

    async def settle(self, stores: Stores, catalog: Generation) -> None:
        """Gives up to two pending items their vectors."""
        for due in await stores.pending.list_due(catalog, 2):
            vector = unit_vector(due.text)
            await stores.pending.settle(catalog, due, [Chunk(hash_text(due.text), vector)])
            for item_id, stored in self.model.items.items():
                if stored.item.text == due.text:
                    settled = replace(
                        stored, state=ItemState.INDEXED, pending_reason="", pending_message=""
                    )
                    self.model.items[item_id] = settled
                    self.model.serving[item_id] = vector.tobytes()

    async def user(self, stores: Stores, catalog: Generation) -> None:
        """Writes up to three users, or deletes one."""
        if self.random.random() < 0.3:
            user_id = self.random.choice(IDS)
            deleted = await stores.users.delete(catalog, user_id)
            assert (user_id in self.model.users) == bool(deleted)
            self.model.change_likes(self.model.users.pop(user_id, None), None)
            return
        writes = []
        for _ in range(self.random.randint(1, 3)):
            preference = Preference(self.random.choice(TEXTS))
            liked_ids = self.random.sample(IDS, self.random.randint(0, 3))
            user = User(self.random.choice(IDS), (preference,), tuple(map(LikedItem, liked_ids)))
            writes.append(UserWrite(user, {catalog.generation_id: chunks_of(preference.text)}))
        for stored in await stores.users.upsert_many(catalog, writes):
            user_id = stored.user.user_id
            self.model.change_likes(self.model.users.get(user_id), stored)
            self.model.users[user_id] = stored

    async def pass_time(self, stores: Stores, catalog: Generation) -> None:
        """Lets time go by, and sometimes deletes expired items."""
        self.model.clock.advance(microseconds=self.random.randint(1, 6))
        if self.random.random() < 0.5:
            await delete_expired(stores, self.random.randint(1, 3))

    async def purge(self, stores: Stores, catalog: Generation) -> None:
        """Removes tombstones up to any write, and vectors that nothing uses."""
        up_to = self.random.randint(0, stores.database.commits.last_sequence)
        await stores.unused_rows.remove_tombstones(catalog.catalog_id, up_to)
        await stores.unused_rows.remove_unused_vectors(
            self.model.clock.now_us, self.random.randint(0, 6)
        )

    async def lag(self, stores: Stores, catalog: Generation) -> None:
        """Takes in a few changes, so that the follower is anywhere behind the store."""
        await self.follow_round(stores, catalog, self.random.randint(1, 5))

    async def follow(self, stores: Stores, catalog: Generation) -> None:
        """Takes in all changes."""
        while self.model.sequence < stores.database.commits.last_sequence:
            await self.follow_round(stores, catalog, 5)

    async def follow_round(self, stores: Stores, catalog: Generation, limit: int) -> None:
        """Takes in changes, as a follower does, or drops what was deleted without a tombstone."""
        model = self.model
        batch = await stores.items.changes(catalog, model.sequence, limit)
        if batch.purged_sequence > max(model.sequence, model.deletions_sequence):
            item_ids, model.deletions_sequence = await stores.items.undeleted_ids(catalog)
            for item_id in model.followed.keys() - item_ids:
                del model.followed[item_id]
            return
        model.sequence = batch.reached
        for change in batch.changes:
            model.followed.pop(change.item_id, None)
            if change.vectors:
                (model.followed[change.item_id],) = change.vectors

    async def check(self, stores: Stores, catalog: Generation) -> None:
        """Compares everything there is to read."""
        model = self.model
        expected = [stored for _, stored in sorted(model.items.items())]
        assert expected == await all_items(stores, catalog)
        assert model.items == await stores.items.get_many(catalog, IDS)
        for user_id in IDS:
            assert model.users.get(user_id) == await stores.users.get(catalog, user_id)
        changes = await stores.behavior_models.read_changes(catalog.catalog_id)
        assert model.like_changes == changes
        while await delete_expired(stores, 100):
            pass
        await self.follow(stores, catalog)
        serving = {key: value for key, value in model.serving.items() if value is not None}
        assert serving == model.followed

    async def check_vectors(self, stores: Stores, catalog: Generation, folder: Path) -> None:
        """Purges everything, and compares the vectors that are left with those in use."""
        while (await stores.unused_rows.remove_unused_vectors(self.model.clock.now_us, 0))[1]:
            pass
        preferences = [user.user.preferences[0].text for user in self.model.users.values()]
        used = {vector for vector in self.model.serving.values() if vector is not None}
        used |= {unit_vector(text).tobytes() for text in preferences}
        assert {(vector,) for vector in used} == {*rows(folder, "SELECT vector FROM vectors")}
        stored = await stores.vectors.get_many(catalog, [hash_text(text) for text in preferences])
        assert {hash_text(text) for text in preferences} == stored.keys()


@pytest.mark.parametrize("seed", range(4))
async def test_the_store_behaves_as_its_model(tmp_path: Path, seed: int) -> None:
    """After any steps and reopenings the store holds what plain dictionaries would hold."""
    walk = Walk(seed)
    for _ in range(REOPENINGS):
        async with opened(tmp_path, walk.model.clock) as (stores, catalog):
            for number in range(STEPS):
                await walk.step(stores, catalog)
                if number % 25 == 0:
                    await walk.check(stores, catalog)
            await walk.check(stores, catalog)
            await walk.check_vectors(stores, catalog, tmp_path)
        async with opened(tmp_path, walk.model.clock) as (stores, catalog):
            await walk.check(stores, catalog)
