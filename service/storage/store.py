"""The store as the layers above see it: durable writes, consistent reads, one sequence.

Writes go through one thread and share commits; reads use connections of their own, in threads of
their own, and see only what is committed.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from service import errors
from service.domain.values import DEFAULT_CATALOG, Space, StoredItem, StoredUser, User
from service.storage import items, pending, spend, users
from service.storage.folder import prepare
from service.storage.schema import connect, translated
from service.storage.values import Change, ItemPage, ItemWrite, Passage, PendingItem, Spend
from service.storage.writer import GroupCommit, Transaction

P = ParamSpec("P")
T = TypeVar("T")
Vector = NDArray[np.float32]

READER_THREADS = 2


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """A catalog and the space its vectors live in."""

    catalog_id: int
    name: str
    space_id: int


class Store:
    """Items, users and vectors on disk.

    Every method may raise StoreUnavailable or StoreCorrupted; those that write also Overloaded and
    StoreFull. Made by `open`, ended by `close`.
    """

    def __init__(self, path: Path, clock_us: Callable[[], int]) -> None:
        self._path = path
        self._clock_us = clock_us
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="akin-reader")
        self._listeners: list[Callable[[int], None]] = []
        self._writing = connect(path)
        self._writer = GroupCommit(self._writing, clock_us, self._committed)
        self.last_sequence = items.last_sequence(self._writing)
        self.store_id = _store_id(self._writing)

    @classmethod
    async def open(cls, folder: Path, clock_us: Callable[[], int]) -> Store:
        """Opens the database in `folder`, making both if need be.

        Args:
            folder: the data folder; `folder.locked` keeps it to the processes of one server.
            clock_us: the time in microseconds since 1970 UTC.

        Raises:
            StoreUnavailable: the folder cannot be used.
            StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
        """
        path = prepare(folder)
        with translated():
            return cls(path, clock_us)

    async def close(self) -> None:
        """Finishes the writes under way, folds the log into the database and lets go of it."""
        await self._writer.close()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        with translated():
            self._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writing.close()

    def listen(self, listener: Callable[[int], None]) -> None:
        """Has `listener` called in the event loop with the last sequence after each commit."""
        self._listeners.append(listener)

    @property
    def queued_writes(self) -> int:
        """How many writes wait for the disk."""
        return self._writer.queued

    async def refresh(self) -> int:
        """Learns of other processes' commits; returns the last sequence."""
        sequence = await self._read(items.last_sequence)
        if sequence > self.last_sequence:
            self._committed(sequence)
        return self.last_sequence

    async def stored_space(self, name: str) -> Space | None:
        """The space that a catalog's vectors are in, if there is such a catalog yet."""
        return await self._read(_stored_space, name)

    async def catalog(self, name: str, space: Space) -> CatalogRow:
        """Opens a catalog for a space, making the default one if need be.

        Raises:
            CatalogNotFound: there is none by this name.
            SpaceMismatch: its vectors belong to another space.
        """
        return await self._writer.run(lambda transaction: _catalog(transaction, name, space))

    async def upsert_items(
        self, catalog: CatalogRow, writes: Sequence[ItemWrite], expected_sequence: int | None = None
    ) -> list[StoredItem]:
        """Stores items in order and together, all or none.

        Args:
            catalog: where to.
            writes: the items; of two with one id the later stays.
            expected_sequence: checked before each write, 0 for no such item; None checks nothing.

        Raises:
            SequenceMismatch: an item is at another sequence.
        """

        def operation(transaction: Transaction) -> list[StoredItem]:
            stored = []
            for write in writes:
                if expected_sequence is not None:
                    items.expect_sequence(
                        transaction, catalog.catalog_id, write.item.item_id, expected_sequence
                    )
                stored.append(
                    items.upsert(transaction, catalog.catalog_id, catalog.space_id, write)
                )
            return stored

        return await self._writer.run(operation)

    async def delete_item(self, catalog: CatalogRow, item_id: str) -> int:
        """Deletes an item; returns the delete's sequence, 0 if there was none."""
        return await self._writer.run(lambda t: items.delete(t, catalog.catalog_id, item_id))

    async def bury_expired(self, limit: int) -> int:
        """Deletes up to `limit` expired items; returns the last delete's sequence, or 0."""
        return await self._writer.run(lambda t: items.bury_expired(t, limit))

    async def get_items(
        self, catalog: CatalogRow, item_ids: Sequence[str]
    ) -> Mapping[str, StoredItem]:
        """The live items among `item_ids`."""
        return await self._read(items.get, catalog.catalog_id, item_ids, self._clock_us())

    async def text_beginnings(
        self, catalog: CatalogRow, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, str]:
        """The first characters of the texts of the live items among `item_ids`."""
        return await self._read(
            items.beginnings, catalog.catalog_id, item_ids, characters, self._clock_us()
        )

    async def list_items(
        self, catalog: CatalogRow, after: str, limit: int, max_bytes: int
    ) -> ItemPage:
        """Live items with ids beyond `after`, ascending in byte order.

        The page ends at `limit` items, or once their texts and attributes exceed `max_bytes`.
        """
        return await self._read(
            items.page, catalog.catalog_id, after, limit, max_bytes, self._clock_us()
        )

    async def named_items(
        self, catalog: CatalogRow, item_ids: Sequence[str], max_bytes: int
    ) -> tuple[list[StoredItem], bool]:
        """The live items among `item_ids`, ascending, and whether `max_bytes` cut them off."""
        return await self._read(
            items.named, catalog.catalog_id, item_ids, max_bytes, self._clock_us()
        )

    async def count_items(self, catalog: CatalogRow) -> int:
        """How many live items a catalog has."""
        return await self._read(items.count, catalog.catalog_id, self._clock_us())

    async def upsert_user(
        self, catalog: CatalogRow, user: User, vectors: Mapping[bytes, Vector]
    ) -> StoredUser:
        """Stores a user together with the preferences' new vectors, by text hash."""
        encoded = {key: vector.tobytes() for key, vector in vectors.items()}

        def operation(transaction: Transaction) -> StoredUser:
            items.insert_vectors(transaction.connection, catalog.space_id, encoded)
            return users.upsert(transaction, catalog.catalog_id, user)

        return await self._writer.run(operation)

    async def get_user(self, catalog: CatalogRow, user_id: str) -> StoredUser | None:
        """The user, if there is one."""
        return await self._read(users.get, catalog.catalog_id, user_id)

    async def delete_user(self, catalog: CatalogRow, user_id: str) -> bool:
        """Deletes a user; False if there was none."""
        return await self._writer.run(lambda t: users.delete(t, catalog.catalog_id, user_id))

    async def changes(
        self, catalog: CatalogRow, after: int, limit: int
    ) -> tuple[list[Change], int]:
        """What changed beyond sequence `after`, oldest first, and the sequence this leads up to."""
        return await self._read(items.changes, catalog.catalog_id, after, limit)

    async def vectors(self, catalog: CatalogRow, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        """The vectors known in the catalog's space for these text hashes."""
        found = await self._read(items.vectors, catalog.space_id, hashes)
        return {key: np.frombuffer(vector, "<f4") for key, vector in found.items()}

    async def due_pending(self, catalog: CatalogRow, limit: int) -> list[PendingItem]:
        """Items whose next attempt at embedding is due, longest due first."""
        return await self._read(pending.due_pending, catalog.catalog_id, self._clock_us(), limit)

    async def settle(
        self, catalog: CatalogRow, item: PendingItem, passages: Sequence[Passage]
    ) -> int:
        """Gives a pending item its vectors; returns the change's sequence, 0 if it is outdated."""
        return await self._writer.run(lambda t: pending.settle(t, catalog.space_id, item, passages))

    async def postpone(self, item: PendingItem, reason: str, delay_seconds: float | None) -> None:
        """Notes a failed attempt at a pending item, and when to try again; None: not by itself."""

        def operation(transaction: Transaction) -> None:
            due_us = (
                pending.NEVER_US
                if delay_seconds is None
                else transaction.now_us + int(delay_seconds * 1e6)
            )
            pending.postpone(transaction, item, reason, due_us)

        await self._writer.run(operation)

    async def retry_pending(self) -> None:
        """Makes every pending item due, as if it had never been tried."""
        await self._writer.run(pending.retry_all)

    async def pending_reasons(self, catalog: CatalogRow) -> Mapping[str, int]:
        """How many items wait for their vectors, by reason, most first."""
        return await self._read(pending.reasons, catalog.catalog_id)

    async def add_spend(self, day: str, spent: Spend) -> None:
        """Adds to what embedding took on a day, YYYY-MM-DD of UTC."""
        await self._writer.run(lambda t: spend.add(t, day, spent))

    async def spend_by_day(self, days: int) -> Mapping[str, Spend]:
        """What embedding took on the last days on which it took anything, latest first."""
        return await self._read(spend.by_day, days)

    def _committed(self, sequence: int) -> None:
        self.last_sequence = max(sequence, self.last_sequence)
        for listener in self._listeners:
            listener(sequence)

    async def _read(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def work() -> T:
            with translated():
                return function(self._reading(), *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _reading(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._connections.append(connection)
        return connection


def _store_id(connection: sqlite3.Connection) -> str:
    (store_id,) = connection.execute("SELECT store_id FROM identity").fetchone()
    return str(store_id)


def _stored_space(connection: sqlite3.Connection, name: str) -> Space | None:
    row = connection.execute(
        "SELECT fingerprint FROM catalogs JOIN spaces USING (space_id) WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else Space(**json.loads(row[0]))


def _catalog(transaction: Transaction, name: str, space: Space) -> CatalogRow:
    connection = transaction.connection
    connection.execute(
        "INSERT INTO spaces (fingerprint) VALUES (?) ON CONFLICT DO NOTHING", (space.fingerprint,)
    )
    if name == DEFAULT_CATALOG:
        connection.execute(
            """INSERT INTO catalogs (name, space_id)
               SELECT ?, space_id FROM spaces WHERE fingerprint = ? ON CONFLICT DO NOTHING""",
            (name, space.fingerprint),
        )
    row = connection.execute(
        """SELECT catalog_id, name, space_id, fingerprint
           FROM catalogs JOIN spaces USING (space_id) WHERE name = ?""",
        (name,),
    ).fetchone()
    if row is None:
        raise errors.CatalogNotFound("there is no such catalog")
    if row[3] != space.fingerprint:
        raise errors.SpaceMismatch(
            f"the catalog {name} was embedded as {row[3]}, but the settings now say "
            f"{space.fingerprint}: set the former again, or start with an empty AKIN_DATA_DIR and "
            "import anew"
        )
    return CatalogRow(*row[:3])
