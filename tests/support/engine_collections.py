"""Collections of an engine in memory, without a store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
from qdrant_client import AsyncQdrantClient, models

from service.domain.items import BEGINNING, Anchor, Change
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.index.shared.engine_collection import CollectionMark
from service.index.shared.points import MARK_ID
from service.index.shared.qdrant_engine import QdrantEngine
from service.index.shared.qdrant_reads import QdrantReads
from service.index.shared.qdrant_writes import QdrantWrites

DIMENSIONS = 4

STORE_ID, SPACE_NAME = "store", "space"

RECORD = SharedIndexRecord(7, 1, SharedIndexState.READY, 0, BEGINNING, 0, 0, None)
"""The record of the only collection of a test."""


class UnorderedClient(AsyncQdrantClient):
    """A client whose engine returns points by their ids in no order, as one with shards does."""

    async def retrieve(self, *args: Any, **kwargs: Any) -> list[models.Record]:
        """Return the points in the opposite order."""
        return (await super().retrieve(*args, **kwargs))[::-1]


class EngineCollection(NamedTuple):
    """A collection, and the client of its engine."""

    client: AsyncQdrantClient
    reads: QdrantReads
    writes: QdrantWrites

    async def apply(self, sequence: int, *changes: Change) -> None:
        """Apply changes up to a sequence number."""
        await self.writes.apply(changes, make_mark(sequence))

    async def fetch_one(self, item_id: str) -> Change | None:
        """Return an item, None if it is not there."""
        changes = await self.reads.fetch([item_id])
        assert len(changes) <= 1
        return changes[0] if changes else None

    async def read_points(self) -> dict[str, tuple[Any, Any]]:
        """Return the payload and the vector of every point but the mark, by id."""
        (name,) = [found.name for found in (await self.client.get_collections()).collections]
        points, _ = await self.client.scroll(name, limit=10_000, with_vectors=True)
        return {
            str(point.id): (point.payload, point.vector) for point in points if point.id != MARK_ID
        }


@asynccontextmanager
async def open_collection(
    client_class: type[AsyncQdrantClient] = AsyncQdrantClient,
) -> AsyncIterator[EngineCollection]:
    """Yield a new collection."""
    client = client_class(":memory:")
    engine = QdrantEngine(client, STORE_ID)
    reads = engine.open_reads(RECORD, DIMENSIONS, SPACE_NAME)
    writes = engine.open_writes(RECORD, DIMENSIONS, SPACE_NAME)
    await writes.create()
    yield EngineCollection(client, reads, writes)
    await client.close()


def make_mark(sequence: int) -> CollectionMark:
    """Return a mark; its anchor has a token that no signed integer of 64 bits can be."""
    return CollectionMark(sequence, Anchor(sequence, 2**63 + sequence))


def draw_units(count: int, *seed: int) -> Sequence[bytes]:
    """Return random unit vectors as bytes, the same for the same seed."""
    raw = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    units = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return tuple(unit.astype("<f4").tobytes() for unit in units)
