"""Keeps the database small: removes what nothing needs any more, and gives its room back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from service import errors
from service.background.housekeeping import EXPIRED_ITEMS_AT_ONCE
from service.index.maintenance import IndexPosition
from service.storage.opening import open_database
from service.storage.sqlite.compaction import FileUsage
from service.storage.stores import Stores

_T = TypeVar("_T")

SECONDS_PER_DAY = 86_400.0

# The interval of rounds.
PURGE_SECONDS = 10.0

# Unused vectors of a provider stay for at least this time while the server runs, whatever the
# setting says. A new vector is unused until the write that it was embedded for has its other
# vectors as well, each of which may take the timeout of a request, 600 seconds at most.
MIN_RETENTION_SECONDS = 600.0

# Pause after each transaction of a purge, as a multiple of its duration. Other writes wait for one
# transaction at most, which takes 5 ms of the processor.
REST_FACTOR = 1.0

# Other processes have usually followed a deletion within a tenth of a second. One that has not
# compares its items with the store.
SHARED_TOMBSTONE_SECONDS = 10.0

# Tombstones of a catalog that wait for its next snapshot. With more, as while writes never pause,
# the snapshot stays behind; a start from it then compares its items with the store.
MAX_WAITING_TOMBSTONES = 10_000

# Free pages that stay in the file for the next writes, at least and as a share of the others. They
# are given back once there are twice as many.
MIN_FREE_PAGES = 64
MIN_FREE_SHARE = 0.1

# Pages given back in one transaction; they delay other writes by about 5 ms.
PAGES_PER_ROUND = 100


@dataclass(slots=True)
class Purged:
    """The number of things that a round has removed."""

    tombstones: int = 0
    vectors: int = 0
    released_bytes: int = 0


class Purge:
    """Removes tombstones and unused vectors, and compacts the file, while `run` runs.

    Args:
        stores: the data on disk.
        list_positions: returns how far each index of this process has followed its catalog.
        retention_seconds: how long unused vectors of a provider are kept.
        shared: other processes follow the same catalogs.
        min_retention_seconds: how long they are kept at least, because writes under way need them.
        rest_factor: the pause after each transaction, as a multiple of its duration.
    """

    def __init__(
        self,
        stores: Stores,
        list_positions: Callable[[], Collection[IndexPosition]],
        retention_seconds: float,
        *,
        shared: bool,
        min_retention_seconds: float = MIN_RETENTION_SECONDS,
        rest_factor: float = REST_FACTOR,
    ) -> None:
        self._rows = stores.unused_rows
        self._compaction = stores.compaction
        self._database = stores.database
        self._list_positions = list_positions
        self._retention_us = int(max(retention_seconds, min_retention_seconds) * 1e6)
        self._tombstone_us = int(SHARED_TOMBSTONE_SECONDS * 1e6) if shared else 0
        self._rest_factor = rest_factor
        self._last_sequence = -1

    async def run(self) -> None:
        """Purge until cancelled."""
        log = structlog.get_logger()
        while True:
            try:
                purged = await self.run_round()
            except errors.AkinError as exc:
                log.warning("purge_failed", reason=exc.reason)
            else:
                if purged != Purged():
                    log.info(
                        "purged",
                        tombstones=purged.tombstones,
                        vectors=purged.vectors,
                        released_bytes=purged.released_bytes,
                    )
            await asyncio.sleep(PURGE_SECONDS)

    async def run_round(self) -> Purged:
        """Remove everything that is due, and give back what is free; return what was removed.

        Raises:
            Overloaded, StoreFull, StoreUnavailable, StoreCorrupted: a part was not removed.
        """
        purged, last_sequence = Purged(), self._database.commits.last_sequence
        await self._remove_tombstones(purged)
        await self._remove_vectors(purged)
        while await self._run_gently(self._database.prune()):
            pass
        await self._release_pages(purged)
        is_quiet = last_sequence == self._database.commits.last_sequence
        await self._empty_log(purged, is_quiet=is_quiet)
        return purged

    async def _remove_tombstones(self, purged: Purged) -> None:
        positions = self._list_positions()
        for catalog_id, count in (await self._rows.count_tombstones()).items():
            up_to = _find_limit(
                [position for position in positions if position.catalog_id == catalog_id], count
            )
            while removed := await self._run_gently(
                self._rows.remove_tombstones(catalog_id, up_to, self._tombstone_us)
            ):
                purged.tombstones += removed

    async def _remove_vectors(self, purged: Purged) -> None:
        # A round ends although writes go on, so that it gives the room back.
        now_us, has_more = self._database.now_us(), True
        while has_more:
            removed, has_more = await self._run_gently(
                self._rows.remove_unused_vectors(now_us, self._retention_us)
            )
            purged.vectors += removed

    async def _release_pages(self, purged: Purged) -> None:
        if self._compaction is None:
            return
        usage = await self._compaction.read_usage()
        pages = _count_releasable_pages(usage)
        for start in range(0, pages, PAGES_PER_ROUND):
            count = min(PAGES_PER_ROUND, pages - start)
            await self._run_gently(self._compaction.release_pages(count))
            purged.released_bytes += count * usage.page_bytes

    async def _empty_log(self, purged: Purged, *, is_quiet: bool) -> None:
        """Empty the write-ahead log if no caller writes; the file shrinks only then.

        Args:
            purged: what this round has removed.
            is_quiet: nothing was written during this round.
        """
        if self._compaction is None:
            return
        last_sequence = self._database.commits.last_sequence
        is_idle, self._last_sequence = last_sequence == self._last_sequence, last_sequence
        if (purged.released_bytes and is_quiet) or (
            is_idle and (await self._compaction.read_usage()).log_bytes
        ):
            await self._compaction.truncate_log()

    async def _run_gently(self, work: Awaitable[_T]) -> _T:
        """Wait for a transaction, then pause for longer than it took."""
        started = time.monotonic()
        result = await work
        await asyncio.sleep(self._rest_factor * (time.monotonic() - started))
        return result


async def purge_stopped(folder: Path, retention_seconds: float) -> Purged:
    """Remove what nothing needs from the data folder of a server that is stopped.

    Args:
        folder: the data folder, whose lock is held.
        retention_seconds: how long unused vectors of a provider are kept.

    Raises:
        StoreFull, StoreUnavailable, StoreCorrupted: a part was not removed.
    """
    stores = Stores.over(open_database(folder, time.time_ns))
    try:
        while (await stores.items.delete_expired(EXPIRED_ITEMS_AT_ONCE)).deleted_count:
            pass
        while await stores.removal.remove_rows():
            pass
        last_sequence = stores.database.commits.last_sequence
        catalogs = (await stores.generations.list_catalogs()).values()
        # Indexes that are on disk compare their items with the store at the next start.
        positions = [IndexPosition(catalog.catalog_id, last_sequence, 0) for catalog in catalogs]
        purge = Purge(
            stores,
            lambda: positions,
            retention_seconds,
            shared=False,
            min_retention_seconds=0,
            rest_factor=0,
        )
        return await purge.run_round()
    finally:
        await stores.database.close()


def _find_limit(positions: Collection[IndexPosition], tombstone_count: int) -> int:
    """Return the sequence number up to which no index of a catalog needs its tombstones, or 0.

    Args:
        positions: of the indexes of the catalog.
        tombstone_count: the number of its tombstones.
    """
    limits = [position.applied for position in positions]
    if tombstone_count <= MAX_WAITING_TOMBSTONES:
        limits += [position.saved for position in positions if position.saved]
    return min(limits, default=0)


def _count_releasable_pages(usage: FileUsage) -> int:
    """Return the number of pages to give back, 0 if they are few or cannot be given back."""
    slack = max(MIN_FREE_PAGES, int(MIN_FREE_SHARE * (usage.pages - usage.free_pages)))
    is_worthwhile = usage.is_compactable and usage.free_pages > 2 * slack
    return usage.free_pages - slack if is_worthwhile else 0
