"""Reads of a collection that a test can hold, and writes that it can stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from service.domain.filters import Filter
from service.domain.vectors import Vectors
from service.index.read_requests import Restriction
from service.index.shared.engine_collection import CollectionReads, FoundPoints
from service.index.shared.qdrant_reads import QdrantReads

# Returns reads of a collection that do something beside.
WrapReads = Callable[[QdrantReads], CollectionReads]


def keep_reads(reads: QdrantReads) -> CollectionReads:
    """Return reads as they are."""
    return reads


class ReadGate:
    """Holds searches and counts after the engine has answered, while it is closed."""

    def __init__(self) -> None:
        self.has_arrived = asyncio.Event()
        self._is_open = asyncio.Event()
        self._is_open.set()

    def close(self) -> None:
        """Hold reads from now on."""
        self.has_arrived.clear()
        self._is_open.clear()

    def open(self) -> None:
        """Let all reads return."""
        self._is_open.set()

    async def pass_through(self) -> None:
        """Wait until the gate is open."""
        self.has_arrived.set()
        await self._is_open.wait()

    def wrap(self, reads: QdrantReads) -> CollectionReads:
        """Return reads that pass the gate."""
        return GatedReads(reads, self)


class GatedReads(QdrantReads):
    """Reads whose searches and counts return once a gate is open."""

    def __init__(self, reads: QdrantReads, gate: ReadGate) -> None:
        super().__init__(reads._calls)
        self._gate = gate

    async def search(
        self,
        queries: Vectors,
        limit: int,
        restriction: Restriction,
        *,
        exact: bool,
        with_items: bool,
    ) -> FoundPoints:
        """Search, and pass the gate."""
        found = await super().search(
            queries, limit, restriction, exact=exact, with_items=with_items
        )
        await self._gate.pass_through()
        return found

    async def count(
        self,
        filter_: Filter | None,
        *,
        searchable: bool,
        exclude_ids: Collection[str] = (),
        now_us: int = 0,
    ) -> int:
        """Count, and pass the gate."""
        count = await super().count(
            filter_, searchable=searchable, exclude_ids=exclude_ids, now_us=now_us
        )
        await self._gate.pass_through()
        return count


class StoppingClient(AsyncQdrantClient):
    """A client that stops for good at a write, as when its process ends there.

    `remaining_writes` are those before that; None to go on.
    """

    remaining_writes: int | None = None

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.has_stopped = asyncio.Event()

    async def upsert(self, *args: Any, **kwargs: Any) -> models.UpdateResult:
        """Write points, unless it stops."""
        await self._count_write()
        return await super().upsert(*args, **kwargs)

    async def delete(self, *args: Any, **kwargs: Any) -> models.UpdateResult:
        """Delete points, unless it stops."""
        await self._count_write()
        return await super().delete(*args, **kwargs)

    async def _count_write(self) -> None:
        if self.remaining_writes == 0:
            self.has_stopped.set()
            await asyncio.Event().wait()
        if self.remaining_writes is not None:
            self.remaining_writes -= 1
