"""Stores and what is written into them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from service.domain.generations import Generation
from service.domain.items import Change, Item, StoredItem
from service.domain.spaces import Model, Space
from service.domain.vectors import Chunk, hash_text
from service.storage import Registry, Store
from service.storage.records import ItemWrite
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector

GIVE_UP_SECONDS = 60.0
"""After so long a test that waits for what never comes fails; nothing takes a tenth of it."""

PAGE_BYTES = 1_000_000


@asynccontextmanager
async def opened(folder: Path, clock: FakeClock) -> AsyncIterator[tuple[Store, Generation]]:
    """A store with its default catalog, closed at the end."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        store = await Store.open(folder, clock)
        try:
            yield store, await default_generation(store, SPACE)
        finally:
            await store.close()


async def default_generation(store: Store, space: Space) -> Generation:
    """The generation of the default catalog, opened for a space."""
    return (await Registry(store).open_default(Model(space))).serving.generation


def indexed(item_id: str, text: str, expire_time_us: int | None = None) -> ItemWrite:
    """An item with its vector."""
    item = Item(item_id, text, {"words": float(len(text.split()))}, expire_time_us)
    return ItemWrite(item, [Chunk(hash_text(text), unit_vector(text))])


def pending(item_id: str, text: str, reason: str = "not now") -> ItemWrite:
    """An item without a vector."""
    return ItemWrite(Item(item_id, text), pending_reason=reason)


async def all_items(store: Store, catalog: Generation) -> list[StoredItem]:
    """Every live item, by id."""
    return list((await store.list_items(catalog, "", 10_000, PAGE_BYTES)).items)


async def all_changes(store: Store, catalog: Generation, after: int = 0) -> list[Change]:
    """Every change beyond a sequence."""
    return (await store.changes(catalog, after, 10_000))[0]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query of the test's own finds in the database."""
    with closing(sqlite3.connect(folder / "akin.sqlite3")) as connection:
        return connection.execute(query).fetchall()
