"""Makes the item indexes of one worker from concrete classes, with all that keeps them current."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from service.background.duty_rounds import alternate, perform
from service.catalog.open_catalog import Work
from service.domain.generations import Generation
from service.domain.index_kinds import IndexKind
from service.domain.spaces import Space, VectorStorage
from service.index.change_dispatch import ChangeDispatch
from service.index.faiss_segmented import SegmentedIndex
from service.index.follower import Follower
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.maintenance import IndexBuilder, IndexPosition, SnapshotLoader
from service.index.publishing import SnapshotDownloader, SnapshotPublisher, SnapshotShelf
from service.index.restoring import Restorer
from service.index.shared.shared_writer import SharedIndexWriter
from service.index.shared.unused_collections import UnusedCollections
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.index.term_index import TermIndex
from service.index.threads import IndexThreads
from service.server.shared_indexes import SharedIndexes
from service.settings import Settings
from service.storage.data_folder import INDEX_FOLDER, list_snapshot_folders, remove_snapshot
from service.storage.duties import Duty
from service.storage.opening import open_shelf
from service.storage.stores import Stores


class Builder(Protocol):
    """What builds the index of a generation."""

    @property
    def settled_sequence(self) -> int:
        """The last write that is in the index while nothing is left to build."""

    @property
    def position(self) -> IndexPosition:
        """How far the index has followed its catalog."""


class ItemIndexes:
    """The item indexes of one worker, one for each open generation. End it with `close`.

    Args:
        settings: the settings of the server.
        stores: the data on disk.
        leads: this worker builds and saves the indexes.
        shared: other processes write to the same data.

    `dispatch` wakes the indexes after commits while it runs.
    """

    def __init__(self, settings: Settings, stores: Stores, *, leads: bool, shared: bool) -> None:
        self._settings = settings
        self._stores = stores
        self._leads = leads
        self._shared = shared
        self._builders: dict[Generation, Builder] = {}
        self._threads = IndexThreads()
        self.dispatch = ChangeDispatch(stores.items)
        self._shared_indexes = SharedIndexes(settings, stores, self._threads, self.dispatch)

    async def close(self) -> None:
        """End the threads, and the connection to the engine of shared indexes."""
        self._threads.close()
        await self._shared_indexes.close()

    async def open(
        self, generation: Generation, space: Space, storage: VectorStorage
    ) -> tuple[Follower, Sequence[Work]]:
        """Return what follows the store for a generation, and its tasks.

        The item index is from the snapshot of the generation, if it has one.

        Raises:
            StoreUnavailable: the store cannot be read.
        """

        def make_item_index() -> ItemIndex:
            index = SegmentedIndex(space.dimensions, storage=storage)
            return ItemIndex(index, time.time_ns, TermIndex() if self._settings.hybrid else None)

        items, duties, threads = self._stores.items, self._stores.duties, self._threads
        origin = SnapshotOrigin(
            self._stores.database.store_id, f"{space.fingerprint} {storage.value}"
        )
        snapshots = Snapshots(self._snapshot_folder(generation), origin, owner=self._leads)
        shelf, downloader = self._open_shelf(generation), None
        if shelf is not None:
            downloader = SnapshotDownloader(items, snapshots, shelf)
        restorer = Restorer(items, generation, snapshots, make_item_index, threads, downloader)
        follower = Follower(
            items, generation, await restorer.open(), threads, restorer.open, self.dispatch
        )
        load = SnapshotLoader(follower, restorer).run
        if self._leads:
            builder = IndexBuilder(follower, snapshots, threads, shared=self._shared)
            self._builders[generation] = builder
            maintenance = [alternate(duties, Duty.INDEXING, builder.run, load)]
        else:
            maintenance = [load()]
        if shelf is not None:
            publisher = SnapshotPublisher(items, snapshots, shelf)
            maintenance.append(perform(duties, Duty.INDEXING, publisher.run))
        return follower, [follower.run(), *maintenance]

    async def open_shared(
        self, generation: Generation, space: Space
    ) -> tuple[IndexReader, Sequence[Work]]:
        """Return what follows the store for a generation whose index is shared, and its tasks.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        reader, tasks = await self._shared_indexes.open(generation, space)
        if self._leads:
            writer = self._builders[generation] = self.make_shared_writer(generation, space)
            tasks.append(perform(self._stores.duties, Duty.INDEXING, writer.run))
        return reader, tasks

    def make_shared_writer(self, generation: Generation, space: Space) -> SharedIndexWriter:
        """Return what fills the shared index of a generation.

        Raises:
            IndexUnavailable: the server has no engine for shared indexes.
        """
        return self._shared_indexes.make_writer(generation, space)

    def make_unused_collections(self) -> UnusedCollections:
        """Return what drops the collections of shared indexes that nothing uses any more.

        Raises:
            IndexUnavailable: the server has no engine for shared indexes.
        """
        return self._shared_indexes.make_unused_collections()

    def find_builder(self, generation: Generation) -> Builder:
        """Return what builds the index of an open generation, in the leading worker."""
        return self._builders[generation]

    def list_positions(self) -> list[IndexPosition]:
        """Return how far each index of the leading worker has followed its catalog."""
        return [builder.position for builder in self._builders.values()]

    async def remove(self, generation: Generation) -> None:
        """Remove the snapshots of a generation that is gone."""
        self._builders.pop(generation, None)
        if self._leads:
            await _remove_snapshot(self._snapshot_folder(generation))

    async def remove_unknown(self) -> None:
        """Remove the snapshots of generations that do not exist or have a shared index.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        generation_ids = {
            str(record.generation.generation_id)
            for catalog in (await self._stores.generations.list_catalogs()).values()
            if catalog.index is IndexKind.MEMORY
            for record in catalog.generations
        }
        for snapshots in list_snapshot_folders(self._settings.data_dir):
            if snapshots.name not in generation_ids:
                await _remove_snapshot(snapshots)

    def _open_shelf(self, generation: Generation) -> SnapshotShelf | None:
        """Return where the leading worker finds and publishes snapshots of other machines."""
        if not self._leads:
            return None
        return open_shelf(self._stores.database, self._settings.store, generation)

    def _snapshot_folder(self, generation: Generation) -> Path:
        return self._settings.data_dir / INDEX_FOLDER / str(generation.generation_id)


async def _remove_snapshot(folder: Path) -> None:
    """Remove a snapshot as far as possible; the next start removes what is left."""
    with suppress(OSError):
        await asyncio.get_running_loop().run_in_executor(None, remove_snapshot, folder)
