"""Opens item indexes from snapshots that the store confirms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from service.domain.generations import Generation
from service.index.change_feed import ChangeFeed
from service.index.change_reader import get_round_size
from service.index.item_index import ItemIndex
from service.index.publishing import SHELF_SECONDS, SnapshotDownloader
from service.index.snapshots import Snapshots
from service.index.threads import IndexThreads


class Restorer:
    """Opens item indexes of one generation.

    Args:
        feed: the store, which knows its last sequence number and its history.
        generation: the generation.
        snapshots: where to load from.
        create_item_index: returns an empty item index.
        threads: where snapshots are read.
        downloader: brings snapshots of other machines; None if there are none.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        generation: Generation,
        snapshots: Snapshots,
        create_item_index: Callable[[], ItemIndex],
        threads: IndexThreads,
        downloader: SnapshotDownloader | None = None,
    ) -> None:
        self._feed = feed
        self._generation = generation
        self._snapshots = snapshots
        self._create_item_index = create_item_index
        self._threads = threads
        self._downloader = downloader
        self._next_download = 0.0
        self._loading = asyncio.Lock()

    async def has_new(self) -> bool:
        """Return whether there is a snapshot that was not there at the last `restore`.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        if self._downloader is not None and time.monotonic() >= self._next_download:
            self._next_download = time.monotonic() + SHELF_SECONDS
            async with self._loading:
                await self._downloader.download()
        return self._snapshots.has_new()

    async def open(self) -> ItemIndex:
        """Return an item index from the snapshot, or an empty one.

        It does not wait for builds, because calls wait for it.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        async with self._loading:
            if self._downloader is not None:
                await self._downloader.download()
            return await self._restore(asyncio.to_thread) or self._create_item_index()

    async def restore(self) -> ItemIndex | None:
        """Return an item index from the snapshot, None if there is none that can be used.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        async with self._loading:
            return await self._restore(self._threads.build)

    async def _restore(self, run: Callable[..., Awaitable[Any]]) -> ItemIndex | None:
        item_index, last_sequence = self._create_item_index(), await self._feed.refresh()
        if not await run(self._snapshots.load, item_index, last_sequence):
            return None
        if not await self._feed.confirms(item_index.anchor):
            self._snapshots.drop("the store has lost writes that are in the snapshot")
            return None
        if item_index.lacks_terms:
            await self._add_terms(item_index, run)
            self._snapshots.needs_renewal = True
        if item_index.lacks_own_vector_keys:
            # Later changes of items say whether they still have such vectors.
            item_index.add_own_vector_keys(await self._feed.own_vector_ids(self._generation))
            self._snapshots.needs_renewal = True
        return item_index

    async def _add_terms(self, item_index: ItemIndex, run: Callable[..., Awaitable[Any]]) -> None:
        """Add the terms of all items to the index of a snapshot that was saved without them.

        Items that have changed since the snapshot get the terms of their present texts.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        reached = 0
        while reached < item_index.sequence:
            batch = await self._feed.changes(
                self._generation,
                reached,
                get_round_size(item_index),
                item_index.anchor,
                with_terms=True,
            )
            if not batch.is_confirmed:
                return  # the follower finds out and opens another index
            await run(item_index.add_terms, batch.changes)
            reached = batch.reached
