"""The store as the layers above see it: items, users, vectors, catalogs and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from service.domain.generations import Layer
from service.domain.items import Change, StoredItem
from service.domain.usage import Spend
from service.domain.users import StoredUser, User
from service.domain.vectors import Passage
from service.storage import items, pending, spend, users, vectors, written
from service.storage.core import Core
from service.storage.layers import live_layers
from service.storage.records import NEVER_US, ItemPage, ItemWrite, PendingItem, Written
from service.storage.writer import Transaction

Vector = NDArray[np.float32]


class Store(Core):
    """Items, users and vectors on disk.

    Every method may raise StoreUnavailable or StoreCorrupted; those that write also Overloaded and
    StoreFull. Made by `open`, ended by `close`.
    """

    async def upsert_items(
        self, layer: Layer, writes: Sequence[ItemWrite], expected_sequence: int | None = None
    ) -> list[StoredItem]:
        """Stores items in order and together, all or none.

        Args:
            layer: of where to; `others` of a write are those of its catalog's further layers.
            writes: the items; of two with one id the later stays.
            expected_sequence: checked before each write, 0 for no such item; None checks nothing.

        Raises:
            SequenceMismatch: an item is at another sequence.
            CatalogNotFound: the catalog was deleted.
        """

        def operation(transaction: Transaction) -> list[StoredItem]:
            layers = live_layers(transaction.connection, layer.catalog_id)
            stored = []
            for write in writes:
                if expected_sequence is not None:
                    items.expect_sequence(transaction, layer, write.item.item_id, expected_sequence)
                stored.append(items.upsert(transaction, layer, layers, write))
            return stored

        return await self.write(operation)

    async def delete_item(self, layer: Layer, item_id: str) -> int:
        """Deletes an item; returns the delete's sequence, 0 if there was none."""
        return await self.write(lambda t: items.delete(t, layer.catalog_id, item_id))

    async def bury_expired(self, limit: int) -> int:
        """Deletes up to `limit` expired items; returns the last delete's sequence, or 0."""
        return await self.write(lambda t: items.bury_expired(t, limit))

    async def get_items(self, layer: Layer, item_ids: Sequence[str]) -> Mapping[str, StoredItem]:
        """The live items among `item_ids`."""
        return await self.read(items.get, layer, item_ids, self._clock_us())

    async def text_beginnings(
        self, layer: Layer, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, str]:
        """The first characters of the texts of the live items among `item_ids`."""
        return await self.read(
            items.beginnings, layer.catalog_id, item_ids, characters, self._clock_us()
        )

    async def written(
        self, layer: Layer, item_ids: Sequence[str], characters: int
    ) -> Mapping[str, Written]:
        """What was written of the live items among `item_ids`, texts cut to some characters."""
        return await self.read(written.written, layer, item_ids, characters, self._clock_us())

    async def passage_hashes(
        self, layer: Layer, item_ids: Sequence[str]
    ) -> Mapping[str, Sequence[bytes]]:
        """What the vectors of items are kept by, in the order of their passages."""
        return await self.read(written.passage_hashes, layer, item_ids)

    async def list_items(self, layer: Layer, after: str, limit: int, max_bytes: int) -> ItemPage:
        """Live items with ids beyond `after`, ascending in byte order.

        The page ends at `limit` items, or once their texts and attributes exceed `max_bytes`.
        """
        return await self.read(items.page, layer, after, limit, max_bytes, self._clock_us())

    async def named_items(
        self, layer: Layer, item_ids: Sequence[str], max_bytes: int
    ) -> tuple[list[StoredItem], bool]:
        """The live items among `item_ids`, ascending, and whether `max_bytes` cut them off."""
        return await self.read(items.named, layer, item_ids, max_bytes, self._clock_us())

    async def count_items(self, layer: Layer) -> int:
        """How many live items a catalog has."""
        return await self.read(items.count, layer.catalog_id, self._clock_us())

    async def upsert_user(
        self,
        layer: Layer,
        user: User,
        passages: Sequence[Passage] = (),
        others: Mapping[int, Sequence[Passage]] = MappingProxyType({}),
    ) -> StoredUser:
        """Stores a user together with the preferences' vectors, in further layers by their ids.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """

        def operation(transaction: Transaction) -> StoredUser:
            known = {layer.layer_id: passages, **others}
            for each in live_layers(transaction.connection, layer.catalog_id):
                some = known.get(each.layer.layer_id, ())
                vectors.keep(transaction.connection, each.layer, some)
            return users.upsert(transaction, layer.catalog_id, user)

        return await self.write(operation)

    async def count_users(self, layer: Layer) -> int:
        """How many users a catalog has."""
        return await self.read(users.count, layer.catalog_id)

    async def get_user(self, layer: Layer, user_id: str) -> StoredUser | None:
        """The user, if there is one."""
        return await self.read(users.get, layer.catalog_id, user_id)

    async def delete_user(self, layer: Layer, user_id: str) -> bool:
        """Deletes a user; False if there was none."""
        return await self.write(lambda t: users.delete(t, layer.catalog_id, user_id))

    async def changes(self, layer: Layer, after: int, limit: int) -> tuple[list[Change], int]:
        """What changed beyond sequence `after`, oldest first, and the sequence this leads up to."""
        return await self.read(items.changes, layer, after, limit)

    async def vectors(self, layer: Layer, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        """The vectors known in the layer's space for these text hashes."""
        found = await self.read(vectors.known, layer.space_id, hashes)
        return {key: np.frombuffer(vector, "<f4") for key, vector in found.items()}

    async def due_pending(self, layer: Layer, limit: int) -> list[PendingItem]:
        """Items whose next attempt at embedding is due, longest due first."""
        return await self.read(pending.due_pending, layer, self._clock_us(), limit)

    async def settle(self, layer: Layer, item: PendingItem, passages: Sequence[Passage]) -> int:
        """Gives a pending item its vectors; returns the change's sequence, 0 if it is outdated."""
        return await self.write(lambda t: pending.settle(t, layer, item, passages))

    async def postpone(
        self, layer: Layer, item: PendingItem, reason: str, delay_seconds: float | None
    ) -> None:
        """Notes a failed attempt at a pending item, and when to try again; None: not by itself."""

        def operation(transaction: Transaction) -> None:
            due_us = (
                NEVER_US if delay_seconds is None else transaction.now_us + int(delay_seconds * 1e6)
            )
            pending.postpone(transaction, layer, item, reason, due_us)

        await self.write(operation)

    async def retry_pending(self) -> None:
        """Makes every pending item due, as if it had never been tried."""
        await self.write(pending.retry_all)

    async def pending_reasons(self, layer: Layer) -> Mapping[str, int]:
        """How many items wait for their vectors, by reason, most first."""
        return await self.read(pending.reasons, layer)

    async def add_spend(self, day: str, spent: Spend) -> None:
        """Adds to what embedding took on a day, YYYY-MM-DD of UTC."""
        await self.write(lambda t: spend.add(t, day, spent))

    async def spend_by_day(self, days: int) -> Mapping[str, Spend]:
        """What embedding took on the last days on which it took anything, latest first."""
        return await self.read(spend.by_day, days)
