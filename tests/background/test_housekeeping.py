import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from support.clock import FakeClock
from support.stores import opened, rows
from support.tasks import left, started

from service import errors
from service.background import housekeeping
from service.catalog.attribution import ResponseCounts
from service.domain.recommendation_ids import US_PER_DAY, ResponseKind, SignalKind, SourceKind
from service.storage.click_through import RETENTION_DAYS, ClickThroughStore
from service.storage.database import Database


class WatchedStore(ClickThroughStore):
    """Counts whose first storing fails; `is_stored` and `is_clean` are set afterwards."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.has_failed = False
        self.is_stored = asyncio.Event()
        self.is_clean = asyncio.Event()

    async def add_responses(self, counts: Mapping[ResponseKind, int]) -> None:
        """Store the counts, but not the first time."""
        if not self.has_failed:
            self.has_failed = True
            raise errors.StoreFull("the disk is full")
        await super().add_responses(counts)
        self.is_stored.set()

    async def remove_old_days(self) -> bool:
        """Remove a round of rows."""
        has_removed = await super().remove_old_days()
        if not has_removed:
            self.is_clean.set()
        return has_removed


async def test_responses_are_stored_at_an_interval(tmp_path: Path) -> None:
    """The numbers of responses reach the disk although storing them fails at first."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        store = WatchedStore(stores.database)
        counts = ResponseCounts(store)
        day = stores.database.now_us() // US_PER_DAY
        counts.add(ResponseKind(catalog.catalog_id, day, SourceKind.TEXT, SignalKind.TEXT))
        flushing = await started(housekeeping.flush_responses(counts, interval_seconds=0))
        await store.is_stored.wait()
        await left(flushing)
        assert [(SourceKind.TEXT, SignalKind.TEXT, 1, 0)] == await store.sum_days(catalog)


async def test_old_counts_are_removed(tmp_path: Path) -> None:
    """Housekeeping removes the counts of old days, and leaves the others."""
    async with opened(tmp_path, FakeClock()) as (stores, catalog):
        today = stores.database.now_us() // US_PER_DAY
        for day in (today, today - RETENTION_DAYS, today - RETENTION_DAYS - 1):
            kind = ResponseKind(catalog.catalog_id, day, SourceKind.TEXT, SignalKind.TEXT)
            await stores.click_through.add_responses({kind: 1})
        store = WatchedStore(stores.database)
        cleaning = await started(housekeeping.clean(replace(stores, click_through=store)))
        await store.is_clean.wait()
        await left(cleaning)
    assert [(today - RETENTION_DAYS,), (today,)] == rows(tmp_path, "SELECT day FROM click_through")
