"""Makes the shared indexes of one worker from concrete classes."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from service import errors
from service.catalog.open_catalog import Work
from service.domain.generations import Generation
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.domain.spaces import Space
from service.extras import describe_installation
from service.index.change_dispatch import ChangeDispatch
from service.index.item_index import ItemIndex
from service.index.shared.catalog_statistics import CatalogStatistics
from service.index.shared.collection_watch import CollectionWatch
from service.index.shared.engine_address import parse_engine_url
from service.index.shared.engine_collection import CollectionReads
from service.index.shared.gathering import Gathering
from service.index.shared.matching_ids import MatchingItems
from service.index.shared.shared_index import SharedIndex
from service.index.shared.shared_writer import OpenedCollection, SharedIndexWriter
from service.index.shared.tail_follower import TailFollower
from service.index.shared.tail_index import TailIndex
from service.index.shared.unused_collections import UnusedCollections
from service.index.threads import IndexThreads
from service.settings import Settings
from service.storage.stores import Stores

if TYPE_CHECKING:  # the packages of the engine are an extra
    from service.index.shared.qdrant_engine import QdrantEngine


class SharedIndexes:
    """The shared indexes of one worker. End it with `close`.

    Args:
        settings: the settings of the server.
        stores: the data on disk.
        threads: where expensive work runs.
        dispatch: wakes the indexes after commits.
    """

    def __init__(
        self, settings: Settings, stores: Stores, threads: IndexThreads, dispatch: ChangeDispatch
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._threads = threads
        self._dispatch = dispatch
        self._engine: QdrantEngine | None = None

    async def open(self, generation: Generation, space: Space) -> tuple[SharedIndex, list[Work]]:
        """Return the index of a generation, and the tasks that keep it current.

        Raises:
            IndexUnavailable: the server has no engine for shared indexes.
            StoreUnavailable: the store cannot be read.
        """
        engine, stores = self._connect(), self._stores
        fingerprint, dimensions = space.fingerprint, space.dimensions

        async def open_tail() -> ItemIndex:
            record = await stores.shared_indexes.get(generation)
            last_sequence = await stores.items.refresh()
            return TailIndex(dimensions, time.time_ns, _choose_start(record, last_sequence))

        def open_reads(record: SharedIndexRecord) -> CollectionReads:
            return engine.open_reads(record, dimensions, fingerprint)

        follower = TailFollower(
            stores.items, generation, await open_tail(), self._threads, open_tail, self._dispatch
        )
        watch = CollectionWatch(
            stores.shared_indexes,
            generation,
            follower,
            open_reads,
            CatalogStatistics.empty(dimensions),
        )
        gathering = Gathering(dimensions, time.time_ns, follower)
        matching = MatchingItems(
            time.time_ns, follower, partial(stores.items.list_attributes, generation)
        )
        index = SharedIndex(follower, watch, gathering, matching)
        return index, [follower.run(), watch.run()]

    def make_writer(self, generation: Generation, space: Space) -> SharedIndexWriter:
        """Return what fills the collection of a generation.

        Raises:
            IndexUnavailable: the server has no engine for shared indexes.
        """
        engine, stores = self._connect(), self._stores

        def open_collection(record: SharedIndexRecord) -> OpenedCollection:
            parts = record, space.dimensions, space.fingerprint
            return OpenedCollection(engine.open_reads(*parts), engine.open_writes(*parts))

        return SharedIndexWriter(stores.items, stores.shared_indexes, generation, open_collection)

    def make_unused_collections(self) -> UnusedCollections:
        """Return what drops the collections that nothing uses any more.

        Raises:
            IndexUnavailable: the server has no engine for shared indexes.
        """
        engine = self._connect()
        return UnusedCollections(
            self._stores.shared_indexes, lambda record: engine.open_writes(record, 1, "")
        )

    def _connect(self) -> QdrantEngine:
        """Return the engine, connected at the first use.

        Raises:
            IndexUnavailable: the server has none, or its packages are not installed.
        """
        settings = self._settings
        if self._engine is None:
            if not settings.qdrant_url:
                raise errors.IndexUnavailable("a shared index requires AKIN_QDRANT_URL")
            try:
                # The packages are an extra, and slow to import.
                from service.index.shared.qdrant_engine import QdrantEngine  # noqa: PLC0415
            except ImportError:
                raise errors.IndexUnavailable(
                    f"a shared index requires an extra: {describe_installation('qdrant')}"
                ) from None
            self._engine = QdrantEngine.connect(
                parse_engine_url(settings.qdrant_url, settings.qdrant_api_key),
                self._stores.database.store_id,
                shards=settings.qdrant_shards,
                replicas=settings.qdrant_replicas,
            )
        return self._engine

    async def close(self) -> None:
        """End the connection to the engine."""
        if self._engine is not None:
            await self._engine.close()


def _choose_start(record: SharedIndexRecord | None, last_sequence: int) -> int:
    """Return the sequence number from which on changes are kept in memory.

    While the collection is being built, earlier changes come into it before reads use it.
    """
    if record is None or record.state is not SharedIndexState.READY:
        return last_sequence
    return min(record.reached, last_sequence)
