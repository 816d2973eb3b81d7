"""Shared indexes whose engine is in memory, and whose writer and watch act when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from qdrant_client import AsyncQdrantClient

from service.domain.generations import Generation
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.index.item_index import ItemIndex
from service.index.shared.catalog_statistics import CatalogStatistics
from service.index.shared.collection_watch import CollectionWatch
from service.index.shared.engine_collection import CollectionReads
from service.index.shared.gathering import Gathering
from service.index.shared.matching_ids import MatchingItems
from service.index.shared.qdrant_engine import QdrantEngine
from service.index.shared.qdrant_reads import QdrantReads
from service.index.shared.qdrant_writes import QdrantWrites
from service.index.shared.shared_index import SharedIndex
from service.index.shared.shared_writer import OpenedCollection, SharedIndexWriter
from service.index.shared.statistics_keeper import StatisticsKeeper
from service.index.shared.tail_follower import TailFollower
from service.index.shared.tail_index import MAX_TAIL_CHANGES, TailIndex
from service.storage.stores import Stores
from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE
from support.gated_reads import WrapReads, keep_reads
from support.item_indexes import INDEX_THREADS
from support.observed_records import ObservedRecords
from support.stores import GIVE_UP_SECONDS
from support.tasks import left

LOCAL_MODE_WARNINGS = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]
"""The marks of tests whose engine is in memory: it has no indexes, and warns of it."""


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """How a replica differs from one of a server.

    Attributes:
        wrap_reads: changes the reads of the collection.
        max_changes: the number of changes that the tail keeps.
        ready_seconds: the longest wait of a read for an index that is being built.
        client_class: the class of the engine's client.
    """

    wrap_reads: WrapReads = keep_reads
    max_changes: int = MAX_TAIL_CHANGES
    ready_seconds: float = GIVE_UP_SECONDS
    client_class: type[AsyncQdrantClient] = AsyncQdrantClient


SERVED = ReplicaOptions()


class SharedReplica:
    """One process with the shared index of a generation.

    Its follower runs. The writer, the watch and the statistics only act when they are called.

    Args:
        stores: the store.
        generation: the generation.
        clock: the present time.
        client: of the engine.
        start: the sequence number up to which the tail lacks changes.
        options: how it differs from a process of a server.
    """

    def __init__(
        self,
        stores: Stores,
        generation: Generation,
        clock: FakeClock,
        client: AsyncQdrantClient,
        start: int,
        options: ReplicaOptions,
    ) -> None:
        self.stores = stores
        self.generation = generation
        self.client = client
        self.records = ObservedRecords(stores.shared_indexes)
        self._clock = clock
        self._options = options
        self._engine = QdrantEngine(client, stores.database.store_id)
        self.follower = TailFollower(
            stores.items, generation, self._create_tail(start), INDEX_THREADS, self._open_tail
        )
        self.watch = CollectionWatch(
            self.records,
            generation,
            self.follower,
            self._open_wrapped_reads,
            CatalogStatistics.empty(DIMENSIONS),
            options.ready_seconds,
        )
        self.index = SharedIndex(
            self.follower,
            self.watch,
            Gathering(DIMENSIONS, clock, self.follower),
            MatchingItems(clock, self.follower, partial(stores.items.list_attributes, generation)),
        )

    def create_writer(self) -> SharedIndexWriter:
        """Return a writer, as after the start of a process."""
        return SharedIndexWriter(
            self.stores.items, self.records, self.generation, self._open_collection
        )

    async def write(self) -> SharedIndexRecord:
        """Let a writer bring the collection up to the present, and return its record."""
        last_sequence = await self.stores.items.refresh()
        return await self.write_until(
            lambda record: (
                record.state is SharedIndexState.READY and record.reached >= last_sequence
            )
        )

    async def write_until(self, holds: Callable[[SharedIndexRecord], bool]) -> SharedIndexRecord:
        """Let a writer run until a condition on the record holds, and return the record."""
        writing = asyncio.create_task(self.create_writer().run())
        try:
            return await self.records.wait_until(self.generation, holds)
        finally:
            await left(writing)

    async def refresh_statistics(self) -> None:
        """Compute the statistics of what is in the collection."""
        record = await self.get_record()
        await StatisticsKeeper(self.records, self.generation).refresh(self.open_reads(record))

    async def look(self) -> None:
        """Let the watch look into the store, and trim the tail."""
        await self.watch._look()

    async def follow(self) -> int:
        """Wait until reads reflect every write, and return the sequence number of the last one."""
        sequence = await self.stores.items.refresh()
        await self.follower.wait_for(sequence)
        return sequence

    async def settle(self) -> None:
        """Bring the collection, its statistics and what the process knows of them up to date."""
        await self.write()
        await self.refresh_statistics()
        await self.follow()
        await self.look()

    async def get_record(self) -> SharedIndexRecord:
        """Return the record of the collection."""
        record = await self.records.get(self.generation)
        assert record is not None
        return record

    def open_reads(self, record: SharedIndexRecord) -> QdrantReads:
        """Return the reads of a collection."""
        return self._engine.open_reads(record, DIMENSIONS, SPACE.fingerprint)

    def open_writes(self, record: SharedIndexRecord) -> QdrantWrites:
        """Return the writes of a collection."""
        return self._engine.open_writes(record, DIMENSIONS, SPACE.fingerprint)

    async def list_collections(self) -> list[str]:
        """Return the names of all collections of the engine."""
        response = await self.client.get_collections()
        return [collection.name for collection in response.collections]

    def _open_collection(self, record: SharedIndexRecord) -> OpenedCollection:
        return OpenedCollection(self.open_reads(record), self.open_writes(record))

    def _open_wrapped_reads(self, record: SharedIndexRecord) -> CollectionReads:
        return self._options.wrap_reads(self.open_reads(record))

    def _create_tail(self, start: int) -> TailIndex:
        return TailIndex(DIMENSIONS, self._clock, start, self._options.max_changes)

    async def _open_tail(self) -> ItemIndex:
        return self._create_tail(await _choose_start(self.stores, self.generation))


async def _choose_start(stores: Stores, generation: Generation) -> int:
    """Return the sequence number up to which a new tail lacks changes, as a server does."""
    record = await stores.shared_indexes.get(generation)
    last_sequence = await stores.items.refresh()
    if record is None or record.state is not SharedIndexState.READY:
        return last_sequence
    return min(record.reached, last_sequence)


@asynccontextmanager
async def open_replicas(
    stores: Stores,
    generation: Generation,
    clock: FakeClock,
    count: int,
    options: ReplicaOptions = SERVED,
) -> AsyncIterator[Sequence[SharedReplica]]:
    """Yield replicas over one engine, whose followers run."""
    client = options.client_class(":memory:")
    async with asyncio.timeout(GIVE_UP_SECONDS), AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        replicas = []
        for _ in range(count):
            start = await _choose_start(stores, generation)
            replica = SharedReplica(stores, generation, clock, client, start, options)
            stack.push_async_callback(left, asyncio.create_task(replica.follower.run()))
            replicas.append(replica)
        yield replicas


@asynccontextmanager
async def open_replica(
    stores: Stores, generation: Generation, clock: FakeClock, options: ReplicaOptions = SERVED
) -> AsyncIterator[SharedReplica]:
    """Yield the only replica over an engine, whose follower runs."""
    async with open_replicas(stores, generation, clock, 1, options) as (replica,):
        yield replica
