"""Stores and what is written into them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.domain.generations import CatalogRecord, Generation
from service.domain.items import Change, Item, StoredItem
from service.domain.spaces import Model, Space
from service.domain.users import StoredUser, User
from service.domain.vectors import Chunk
from service.embedding.prompts import hash_text
from service.storage.database import READER_THREADS, ReadKind
from service.storage.opening import open_database
from service.storage.postgres.postgres_database import PostgresDatabase
from service.storage.records import ItemVectors, ItemWrite, UserWrite
from service.storage.sql import Connection
from service.storage.sqlite.compaction import CompactionStore
from service.storage.sqlite.sqlite_database import SqliteDatabase, SqliteSession
from service.storage.stores import Stores
from support.clock import FakeClock
from support.embedders import SPACE, unit_vector
from support.postgres import query_database, shared_server

GIVE_UP_SECONDS = 120.0
"""After so long a test that waits for what never comes fails; nothing takes a tenth of it."""

PAGE_BYTES = 1_000_000

# Instructions of SQLite between two calls of a progress handler.
INSTRUCTIONS_PER_STEP = 10

UNAVAILABLE = "EMBEDDING_UNAVAILABLE"


@dataclass
class StoreChoice:
    """Which of the two stores a test opens."""

    uses_postgres: bool = False


CHOICE = StoreChoice()


def open_stores(
    folder: Path, clock_ns: Callable[[], int], monotonic_ns: Callable[[], int] | None = None
) -> Stores:
    """Open the stores in a folder, or in the database that stands for it.

    One clock is both unless given.
    """
    if CHOICE.uses_postgres:
        address = shared_server().open_migrated(folder)
        database = PostgresDatabase(address, clock_ns, monotonic_ns or clock_ns)
        return Stores.over(database)
    return Stores.over(open_database(folder, clock_ns, monotonic_ns or clock_ns))


@asynccontextmanager
async def opened(
    folder: Path, clock: FakeClock, monotonic: FakeClock | None = None
) -> AsyncIterator[tuple[Stores, Generation]]:
    """A store with its default catalog, closed at the end; one clock is both unless given."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        stores = open_stores(folder, clock, monotonic)
        try:
            yield stores, await default_generation(stores, SPACE)
        finally:
            await stores.database.close()


def write_connection(stores: Stores) -> sqlite3.Connection:
    """The connection that writes to the database file of a store."""
    session = stores.database._session
    assert isinstance(session, SqliteSession)
    return session.connection


def folder_of(stores: Stores) -> Path:
    """The folder of a store's database file."""
    assert isinstance(stores.database, SqliteDatabase)
    return stores.database.path.parent


def compaction_of(stores: Stores) -> CompactionStore:
    """What keeps the database file of a store small."""
    assert stores.compaction is not None
    return stores.compaction


async def default_generation(stores: Stores, space: Space) -> Generation:
    """The generation of the default catalog, opened for a space."""
    return (await stores.generations.open_default(Model(space))).serving.generation


async def default_catalog(stores: Stores) -> CatalogRecord:
    """The default catalog as it is stored."""
    return (await stores.generations.list_catalogs())["default"]


async def remove_dropped(stores: Stores) -> None:
    """Removes all rows of dropped generations and deleted catalogs."""
    while await stores.removal.remove_rows():
        pass


async def served_vectors(stores: Stores, generation: Generation) -> dict[str, Sequence[bytes]]:
    """The vectors of each item in a generation."""
    return {change.item_id: change.vectors for change in await all_changes(stores, generation)}


def indexed(item_id: str, text: str, expire_time_us: int | None = None) -> ItemWrite:
    """An item with its vector."""
    item = Item(item_id, text, {"words": float(len(text.split()))}, expire_time_us)
    return ItemWrite(item, ItemVectors(chunks_of(text)))


def chunks_of(text: str) -> list[Chunk]:
    """The only chunk of a short text."""
    return [Chunk(hash_text(text), unit_vector(text))]


def pending(item_id: str, text: str, message: str = "not now") -> ItemWrite:
    """An item without a vector."""
    return ItemWrite(Item(item_id, text), without_vectors(message))


def without_vectors(message: str = "not now") -> ItemVectors:
    """A text that cannot be embedded now."""
    return ItemVectors(pending_reason=UNAVAILABLE, pending_message=message)


def with_others(write: ItemWrite, others: Mapping[int, Sequence[Chunk]]) -> ItemWrite:
    """A write with the chunks of other generations, by their ids."""
    return replace(write, vectors=replace(write.vectors, others=others))


async def delete_item(stores: Stores, catalog: Generation, item_id: str) -> int:
    """Deletes an item; the sequence of the deletion, 0 if there was none."""
    return (await stores.items.delete_many(catalog, [item_id])).sequence


async def delete_expired(stores: Stores, limit: int) -> int:
    """Deletes expired items; the sequence of the last deletion, 0 if there was none."""
    return (await stores.items.delete_expired(limit)).sequence


async def upsert_user(
    stores: Stores, catalog: Generation, user: User, chunks: Sequence[Chunk] = ()
) -> StoredUser:
    """Stores one user."""
    write = UserWrite(user, {catalog.generation_id: chunks})
    (stored,) = await stores.users.upsert_many(catalog, [write])
    return stored


async def all_items(stores: Stores, catalog: Generation) -> list[StoredItem]:
    """Every live item, by id."""
    return list((await stores.items.list_page(catalog, "", 10_000, PAGE_BYTES)).items)


async def all_changes(stores: Stores, catalog: Generation, after: int = 0) -> list[Change]:
    """Every change beyond a sequence."""
    return list((await stores.items.changes(catalog, after, 10_000)).changes)


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query of the test's own finds in the database."""
    if CHOICE.uses_postgres:
        return query_database(folder, query)
    with closing(sqlite3.connect(folder / "akin.sqlite3")) as connection:
        return connection.execute(query).fetchall()


def broken_references(folder: Path) -> list[tuple[Any, ...]]:
    """References to rows that do not exist; PostgreSQL does not let any be."""
    return [] if CHOICE.uses_postgres else rows(folder, "PRAGMA foreign_key_check")


def execute(folder: Path, statement: str) -> None:
    """Change the database of a server that does not run."""
    if CHOICE.uses_postgres:
        query_database(folder, statement)
        return
    with closing(sqlite3.connect(folder / "akin.sqlite3")) as connection:
        connection.execute(statement)
        connection.commit()


class SqliteSteps:
    """Counts the work of SQLite, which does not depend on how busy the machine is."""

    def __init__(self) -> None:
        self._count = 0

    def add(self) -> int:
        """Count a step; SQLite goes on."""
        self._count += 1
        return 0

    def take(self) -> int:
        """Return the number of steps since the last call."""
        count, self._count = self._count, 0
        return count


async def count_steps(stores: Stores) -> SqliteSteps:
    """Return a counter of the steps of all writes and long reads from now on."""
    steps = SqliteSteps()
    thread_count = READER_THREADS[ReadKind.SCAN]
    arrival = threading.Barrier(thread_count)

    def observe(connection: Connection) -> None:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_progress_handler(steps.add, INSTRUCTIONS_PER_STEP)

    def observe_once(connection: Connection) -> None:
        arrival.wait(GIVE_UP_SECONDS)  # one read in each thread
        observe(connection)

    await asyncio.gather(
        *(stores.database.read(observe_once, ReadKind.SCAN) for _ in range(thread_count))
    )
    await stores.database.write(lambda transaction: observe(transaction.connection))
    steps.take()
    return steps
