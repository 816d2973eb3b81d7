"""The store as the layers above see it: items, users, vectors, catalogs and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from service.domain.generations import Generation
from service.domain.items import Change, StoredItem
from service.domain.usage import TokenUsage
from service.domain.users import StoredUser, User
from service.domain.vectors import Chunk
from service.storage import items, pending, spend, users, vectors, written
from service.storage.core import Core
from service.storage.generations import live_generations
from service.storage.records import NEVER_US, ItemPage, ItemWrite, PendingItem, Written
from service.storage.writer import Transaction

Vector = NDArray[np.float32]


class Store(Core):
    """Items, users and vectors on disk.

    Every method may raise StoreUnavailable or StoreCorrupted; those that write also Overloaded and
    StoreFull. Made by `open`, ended by `close`.
    """

    async def upsert_items(
        self,
        generation: Generation,
        writes: Sequence[ItemWrite],
        expected_sequence: int | None = None,
    ) -> list[StoredItem]:
        """Stores items in order and together, all or none.

        Args:
            generation: the one whose chunks the writes hold; `others` of a write are those of
                the catalog's further generations.
            writes: the items; of two with one id the later stays.
            expected_sequence: checked before each write, 0 for no such item; None checks nothing.

        Raises:
            SequenceMismatch: an item is at another sequence.
            CatalogNotFound: the catalog was deleted.
        """

        def operation(transaction: Transaction) -> list[StoredItem]:
            generations = live_generations(transaction.connection, generation.catalog_id)
            stored = []
            for write in writes:
                if expected_sequence is not None:
                    items.expect_sequence(
                        transaction, generation, write.item.item_id, expected_sequence
                    )
                stored.append(items.upsert(transaction, generation, generations, write))
            return stored

        return await self.write(operation)

    async def delete_item(self, generation: Generation, item_id: str) -> int:
        """Deletes an item; returns the delete's sequence, 0 if there was none."""
        return await self.write(lambda t: items.delete(t, generation.catalog_id, item_id))

    async def bury_expired(self, limit: int) -> int:
        """Deletes up to `limit` expired items; returns the last delete's sequence, or 0."""
        return await self.write(lambda t: items.bury_expired(t, limit))

    async def get_items(
        self, generation: Generation, item_ids: Sequence[str]
    ) -> Mapping[str, StoredItem]:
        """The live items among `item_ids`."""
        return await self.read(items.get, generation, item_ids, self._clock_us())

    async def text_beginnings(
        self, generation: Generation, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, str]:
        """The first characters of the texts of the live items among `item_ids`."""
        return await self.read(
            items.beginnings, generation.catalog_id, item_ids, characters, self._clock_us()
        )

    async def written(
        self, generation: Generation, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, Written]:
        """What was written of the live items among `item_ids`, texts cut to some characters."""
        return await self.read(written.written, generation, item_ids, characters, self._clock_us())

    async def chunk_hashes(
        self, generation: Generation, item_ids: Sequence[str]
    ) -> Mapping[str, Sequence[bytes]]:
        """What the vectors of items are kept by, in the order of their chunks."""
        return await self.read(written.chunk_hashes, generation, item_ids)

    async def list_items(
        self, generation: Generation, after: str, limit: int, max_bytes: int
    ) -> ItemPage:
        """Live items with ids beyond `after`, ascending in byte order.

        The page ends at `limit` items, or once their texts and attributes exceed `max_bytes`.
        """
        return await self.read(items.page, generation, after, limit, max_bytes, self._clock_us())

    async def named_items(
        self, generation: Generation, item_ids: Sequence[str], max_bytes: int
    ) -> tuple[list[StoredItem], bool]:
        """The live items among `item_ids`, ascending, and whether `max_bytes` cut them off."""
        return await self.read(items.named, generation, item_ids, max_bytes, self._clock_us())

    async def count_items(self, generation: Generation) -> int:
        """How many live items a catalog has."""
        return await self.read(items.count, generation.catalog_id, self._clock_us())

    async def upsert_user(
        self,
        generation: Generation,
        user: User,
        chunks: Sequence[Chunk] = (),
        others: Mapping[int, Sequence[Chunk]] = MappingProxyType({}),
    ) -> StoredUser:
        """Stores a user with the preferences' vectors, in further generations by their ids.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """

        def operation(transaction: Transaction) -> StoredUser:
            known = {generation.generation_id: chunks, **others}
            for each in live_generations(transaction.connection, generation.catalog_id):
                some = known.get(each.generation.generation_id, ())
                vectors.keep(transaction.connection, each.generation, some)
            return users.upsert(transaction, generation.catalog_id, user)

        return await self.write(operation)

    async def count_users(self, generation: Generation) -> int:
        """How many users a catalog has."""
        return await self.read(users.count, generation.catalog_id)

    async def get_user(self, generation: Generation, user_id: str) -> StoredUser | None:
        """The user, if there is one."""
        return await self.read(users.get, generation.catalog_id, user_id)

    async def delete_user(self, generation: Generation, user_id: str) -> bool:
        """Deletes a user; False if there was none."""
        return await self.write(lambda t: users.delete(t, generation.catalog_id, user_id))

    async def changes(
        self, generation: Generation, after: int, limit: int
    ) -> tuple[list[Change], int]:
        """What changed beyond sequence `after`, oldest first, and the sequence this leads up to."""
        return await self.read(items.changes, generation, after, limit)

    async def vectors(self, generation: Generation, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        """The vectors known in the generation's space for these text hashes."""
        found = await self.read(vectors.known, generation.space_id, hashes)
        return {key: np.frombuffer(vector, "<f4") for key, vector in found.items()}

    async def due_pending(self, generation: Generation, limit: int) -> list[PendingItem]:
        """Items whose next attempt at embedding is due, longest due first."""
        return await self.read(pending.due_pending, generation, self._clock_us(), limit)

    async def settle(
        self, generation: Generation, item: PendingItem, chunks: Sequence[Chunk]
    ) -> int:
        """Gives a pending item its vectors; returns the change's sequence, 0 if it is outdated."""
        return await self.write(lambda t: pending.settle(t, generation, item, chunks))

    async def postpone(
        self, generation: Generation, item: PendingItem, reason: str, delay_seconds: float | None
    ) -> None:
        """Notes a failed attempt at a pending item, and when to try again; None: not by itself."""

        def operation(transaction: Transaction) -> None:
            due_us = (
                NEVER_US if delay_seconds is None else transaction.now_us + int(delay_seconds * 1e6)
            )
            pending.postpone(transaction, generation, item, reason, due_us)

        await self.write(operation)

    async def retry_pending(self) -> None:
        """Makes every pending item due, as if it had never been tried."""
        await self.write(pending.retry_all)

    async def pending_reasons(self, generation: Generation) -> Mapping[str, int]:
        """How many items wait for their vectors, by reason, most first."""
        return await self.read(pending.reasons, generation)

    async def add_spend(self, day: str, spent: TokenUsage) -> None:
        """Adds to what embedding took on a day, YYYY-MM-DD of UTC."""
        await self.write(lambda t: spend.add(t, day, spent))

    async def spend_by_day(self, days: int) -> Mapping[str, TokenUsage]:
        """What embedding took on the last days on which it took anything, latest first."""
        return await self.read(spend.by_day, days)
