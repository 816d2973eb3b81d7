import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import unit_vector
from support.stores import all_items, indexed, opened, pending

from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.users import Preference, StoredUser, User
from service.domain.vectors import Chunk, hash_text
from service.storage import Store

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

    async def step(self, store: Store, catalog: Generation) -> None:
        """Does any one thing."""
        steps: list[Callable[[Store, Generation], Awaitable[None]]] = [
            self.upsert,
            self.upsert,
            self.upsert_pending,
            self.delete,
            self.settle,
            self.user,
            self.wait,
        ]
        before = store.last_sequence
        await self.random.choice(steps)(store, catalog)
        assert before <= store.last_sequence
        self.model.forget_expired()

    async def upsert(self, store: Store, catalog: Generation) -> None:
        """Writes up to three items with their vectors, some of which expire soon."""
        writes = []
        for _ in range(self.random.randint(1, 3)):
            expiring = self.random.random() < 0.3
            expire_time_us = self.model.clock.now_us + self.random.randint(1, 9)
            item_id, text = self.random.choice(IDS), self.random.choice(TEXTS)
            writes.append(indexed(item_id, text, expire_time_us if expiring else None))
        for stored in await store.upsert_items(catalog, writes):
            self.model.items[stored.item.item_id] = stored
            self.model.serving[stored.item.item_id] = unit_vector(stored.item.text).tobytes()

    async def upsert_pending(self, store: Store, catalog: Generation) -> None:
        """Writes an item without a vector."""
        item_id, text = self.random.choice(IDS), self.random.choice(TEXTS)
        (stored,) = await store.upsert_items(catalog, [pending(item_id, text)])
        self.model.items[item_id] = stored
        self.model.serving.setdefault(item_id, None)

    async def delete(self, store: Store, catalog: Generation) -> None:
        """Deletes an item, which may not be there."""
        item_id = self.random.choice(IDS)
        deleted = await store.delete_item(catalog, item_id)
        assert (item_id in self.model.items) == bool(deleted)
        self.model.items.pop(item_id, None)
        self.model.serving.pop(item_id, None)

    async def settle(self, store: Store, catalog: Generation) -> None:
        """Gives up to two pending items their vectors."""
        for due in await store.due_pending(catalog, 2):
            vector = unit_vector(due.text)
            await store.settle(catalog, due, [Chunk(hash_text(due.text), vector)])
            for item_id, stored in self.model.items.items():
                if stored.sequence == due.sequence:
                    settled = replace(stored, state=ItemState.INDEXED, pending_reason="")
                    self.model.items[item_id] = settled
                    self.model.serving[item_id] = vector.tobytes()

    async def user(self, store: Store, catalog: Generation) -> None:
        """Writes or deletes a user."""
        user_id = self.random.choice(IDS)
        if self.random.random() < 0.3:
            deleted = await store.delete_user(catalog, user_id)
            assert (self.model.users.pop(user_id, None) is not None) == deleted
        else:
            user = User(user_id, (Preference(self.random.choice(TEXTS)),))
            self.model.users[user_id] = await store.upsert_user(catalog, user)

    async def wait(self, store: Store, catalog: Generation) -> None:
        """Lets time go by, and sometimes buries what has expired."""
        self.model.clock.advance(microseconds=self.random.randint(1, 6))
        if self.random.random() < 0.5:
            await store.bury_expired(self.random.randint(1, 3))

    async def follow(self, store: Store, catalog: Generation) -> None:
        """Takes in the changes, as the view does."""
        while self.model.sequence < store.last_sequence:
            changes, self.model.sequence = await store.changes(catalog, self.model.sequence, 5)
            for change in changes:
                self.model.followed.pop(change.item_id, None)
                if change.vectors:
                    (self.model.followed[change.item_id],) = change.vectors

    async def check(self, store: Store, catalog: Generation) -> None:
        """Compares everything there is to read."""
        model = self.model
        expected = [stored for _, stored in sorted(model.items.items())]
        assert expected == await all_items(store, catalog)
        assert model.items == await store.get_items(catalog, IDS)
        for user_id in IDS:
            assert model.users.get(user_id) == await store.get_user(catalog, user_id)
        while await store.bury_expired(100):
            pass
        await self.follow(store, catalog)
        serving = {key: value for key, value in model.serving.items() if value is not None}
        assert serving == model.followed


@pytest.mark.parametrize("seed", range(4))
async def test_the_store_behaves_as_its_model(tmp_path: Path, seed: int) -> None:
    """After any steps and reopenings the store holds what plain dictionaries would hold."""
    walk = Walk(seed)
    for _ in range(REOPENINGS):
        async with opened(tmp_path, walk.model.clock) as (store, catalog):
            for number in range(STEPS):
                await walk.step(store, catalog)
                if number % 25 == 0:
                    await walk.check(store, catalog)
            await walk.check(store, catalog)
        async with opened(tmp_path, walk.model.clock) as (store, catalog):
            await walk.check(store, catalog)
