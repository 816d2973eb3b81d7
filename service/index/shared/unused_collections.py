"""Drops the collections that nothing uses any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from service import errors
from service.domain.shared_indexes import SharedIndexRecord
from service.index.shared.engine_collection import CollectionWrites

# The pause between two looks for unused collections.
UNUSED_PAUSE_SECONDS = 60.0

# A collection is kept for this time after its last use: other processes may not have changed to
# another index yet.
UNUSED_SECONDS = 600.0


class UnusedRecords(Protocol):
    """Records of shared indexes. Every method can raise StoreUnavailable."""

    async def list_unused(self) -> Sequence[SharedIndexRecord]:
        """Return the shared indexes that no catalog uses or changes to."""

    async def mark_dropped(self, record: SharedIndexRecord) -> None:
        """Note that an index is not used any more, unless that is noted."""

    async def remove(self, record: SharedIndexRecord) -> None:
        """Remove the record of an index."""


class UnusedCollections:
    """Drops unused collections and their records, while `run` runs.

    Args:
        records: the store.
        open_writes: returns the writes of the collection of a record.
    """

    def __init__(
        self,
        records: UnusedRecords,
        open_writes: Callable[[SharedIndexRecord], CollectionWrites],
    ) -> None:
        self._records = records
        self._open_writes = open_writes

    async def run(self) -> None:
        """Look for unused collections until cancelled."""
        while True:
            try:
                await self.run_round(time.time())
            except errors.AkinError as exc:
                log = structlog.get_logger()
                log.warning("unused_index_failed", reason=exc.reason, problem=exc.message)
            await asyncio.sleep(UNUSED_PAUSE_SECONDS)

    async def run_round(self, seconds: float) -> None:
        """Drop what is due, and note what is not used any more.

        Args:
            seconds: the present time since 1970 UTC.

        Raises:
            IndexUnavailable, StoreUnavailable: something was not dropped.
        """
        for record in await self._records.list_unused():
            if record.dropped_us is None:
                await self._records.mark_dropped(record)
            elif record.dropped_us / 1e6 + UNUSED_SECONDS <= seconds:
                await self._open_writes(record).drop()
                await self._records.remove(record)
                structlog.get_logger().info(
                    "unused_index_dropped", generation=record.generation_id, version=record.version
                )
