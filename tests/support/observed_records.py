"""Records of shared indexes whose changes a test can wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.domain.generations import Generation
from service.domain.items import Anchor
from service.domain.shared_indexes import SharedIndexRecord
from service.storage.shared_indexes import SharedIndexStore


class ObservedRecords:
    """The records of a store's shared indexes, which a test can wait for.

    `statistics_versions` are those of the statistics that were written.
    """

    def __init__(self, records: SharedIndexStore) -> None:
        self._records = records
        self._has_changed = asyncio.Event()
        self.statistics_versions: list[int] = []

    async def get(self, generation: Generation) -> SharedIndexRecord | None:
        """Return the shared index of a generation."""
        return await self._records.get(generation)

    async def start_build(self, generation: Generation, target: int) -> SharedIndexRecord:
        """Record an empty index."""
        record = await self._records.start_build(generation, target)
        self._show_change()
        return record

    async def note_progress(
        self, record: SharedIndexRecord, reached: int, anchor: Anchor, item_count: int
    ) -> bool:
        """Note what an index has."""
        is_noted = await self._records.note_progress(record, reached, anchor, item_count)
        self._show_change()
        return is_noted

    async def mark_used(self, record: SharedIndexRecord) -> None:
        """Note that an index is used."""
        await self._records.mark_used(record)
        self._show_change()

    async def get_statistics_version(self, generation: Generation) -> int:
        """Return the version of the statistics."""
        return await self._records.get_statistics_version(generation)

    async def read_statistics(self, generation: Generation) -> tuple[int, bytes] | None:
        """Return the statistics with their version."""
        return await self._records.read_statistics(generation)

    async def write_statistics(self, generation: Generation, statistics: bytes) -> int:
        """Store the statistics."""
        version = await self._records.write_statistics(generation, statistics)
        self.statistics_versions.append(version)
        self._show_change()
        return version

    async def wait_until(
        self, generation: Generation, holds: Callable[[SharedIndexRecord], bool]
    ) -> SharedIndexRecord:
        """Wait until a condition on the record of a generation holds, and return it."""
        while True:
            changed = self._has_changed
            record = await self.get(generation)
            if record is not None and holds(record):
                return record
            await changed.wait()

    def _show_change(self) -> None:
        self._has_changed.set()
        self._has_changed = asyncio.Event()
