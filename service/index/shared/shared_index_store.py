"""The store as shared indexes need it: what it records of them."""

from __future__ import annotations

from typing import Protocol

from service.domain.generations import Generation
from service.domain.items import Anchor
from service.domain.shared_indexes import SharedIndexRecord


class SharedIndexRecords(Protocol):
    """Records of shared indexes. Every method can raise StoreUnavailable."""

    async def get(self, generation: Generation) -> SharedIndexRecord | None:
        """Return the shared index of a generation, or None if it has none."""

    async def start_build(self, generation: Generation, target: int) -> SharedIndexRecord:
        """Record an empty index of the next version in place of the former one."""

    async def note_progress(
        self, record: SharedIndexRecord, reached: int, anchor: Anchor, item_count: int
    ) -> bool:
        """Note what an index has; return False if another version has replaced it."""

    async def mark_used(self, record: SharedIndexRecord) -> None:
        """Note that a process uses an index that was marked as unused."""

    async def get_statistics_version(self, generation: Generation) -> int:
        """Return the version of a generation's statistics, 0 if it has none."""

    async def read_statistics(self, generation: Generation) -> tuple[int, bytes] | None:
        """Return the statistics of a generation with their version."""

    async def write_statistics(self, generation: Generation, statistics: bytes) -> int:
        """Store the statistics of a generation, and return their version."""
