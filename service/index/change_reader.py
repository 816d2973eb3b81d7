"""Reads the changes that an item index lacks, and applies them to one that nobody reads yet."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from service.domain.generations import Generation
from service.domain.items import ChangeBatch
from service.index.change_feed import ChangeFeed
from service.index.index_access import IndexAccess
from service.index.item_index import ItemIndex

# Changes that are applied together: with 256-dimensional vectors they hold the lock for about 3 ms.
CHANGES_PER_ROUND = 1_000

# The same with the terms of texts: for 70 words each they hold the lock for about 3 ms as well, and
# the longest texts hold it for 0.4 s.
CHANGES_WITH_TERMS_PER_ROUND = 100


def get_round_size(item_index: ItemIndex) -> int:
    """Return the number of changes that an item index applies together, at most."""
    return CHANGES_PER_ROUND if item_index.terms is None else CHANGES_WITH_TERMS_PER_ROUND


class ChangeReader:
    """Reads the changes of one generation, for any of its item indexes.

    Args:
        feed: where the changes come from.
        generation: the generation whose vectors to read.
        access: runs work in threads.

    Every method can raise StoreUnavailable and NotReady.
    """

    def __init__(self, feed: ChangeFeed, generation: Generation, access: IndexAccess) -> None:
        self._feed = feed
        self._generation = generation
        self._access = access

    async def read(self, item_index: ItemIndex) -> ChangeBatch:
        """Return the next changes of an item index, at most those of a round."""
        while True:
            batch = await self._feed.changes(
                self._generation,
                item_index.sequence,
                get_round_size(item_index),
                item_index.anchor,
                with_terms=item_index.terms is not None,
            )
            if batch.purged_sequence <= item_index.complete_deletions:
                return batch
            await self._drop_deleted(item_index)

    async def catch_up(self, item_index: ItemIndex) -> ChangeBatch:
        """Apply a round of changes to an item index that nobody reads yet, and return it."""
        batch = await self.read(item_index)
        if batch.is_confirmed:
            await self._access.run_unlocked(
                item_index.apply, batch.changes, batch.reached, batch.anchor
            )
        return batch

    async def _drop_deleted(self, item_index: ItemIndex) -> None:
        """Drop the items that were deleted while their tombstones were not followed.

        It is an old snapshot's index, or that of a process that stood still for long.
        """
        item_ids: Collection[str] = ()
        if item_index.is_empty:
            sequence = await self._feed.refresh()
        else:
            item_ids, sequence = await self._feed.undeleted_ids(self._generation)
        count = await self._access.run_unlocked(item_index.drop_deleted, item_ids, sequence)
        if count:
            structlog.get_logger().info(
                "index_deletions_caught_up", catalog=self._generation.name, items=count
            )
