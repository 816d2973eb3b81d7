"""Loops that keep a process up to date and clean when nobody calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from service import errors
from service.catalog.attribution import ResponseCounts
from service.catalog.open_catalogs import OpenCatalogs
from service.catalog.stats_watch import StatsWatch
from service.domain.stats import CatalogStats
from service.storage.database import Database
from service.storage.stores import Stores

# Items that expire are hidden at once; their rows are deleted at this interval.
CLEANING_SECONDS = 30.0

# Expired items that are deleted in one transaction, so that other writes do not wait long.
EXPIRED_ITEMS_AT_ONCE = 1_000

# The interval of metrics and of the embedding health check.
REPORT_SECONDS = 2.0

# The interval at which numbers of responses are stored, as the contract says.
FLUSH_SECONDS = 60.0

# Pause after the store could not be read.
LOOK_RETRY_SECONDS = 0.5


class EmbeddingHealth(Protocol):
    """Reports whether texts can be embedded."""

    async def __call__(self, *, healthy: bool) -> None:
        """Report it."""


async def clean(stores: Stores) -> None:
    """Delete expired items, old counts and the rows of dropped generations, until cancelled."""
    while True:
        try:
            while (await stores.items.delete_expired(EXPIRED_ITEMS_AT_ONCE)).deleted_count:
                pass
            while await stores.removal.remove_rows():
                pass
            while await stores.click_through.remove_old_days():
                pass
        except errors.AkinError as exc:
            structlog.get_logger().warning("cleaning_failed", reason=exc.reason)
        await asyncio.sleep(CLEANING_SECONDS)


async def flush_responses(counts: ResponseCounts, interval_seconds: float = FLUSH_SECONDS) -> None:
    """Store the numbers of responses of this process at an interval, until cancelled."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await counts.flush()
        except errors.AkinError as exc:
            structlog.get_logger().warning("response_counts_not_stored", reason=exc.reason)


async def follow_other_processes(database: Database, catalogs: OpenCatalogs) -> None:
    """Apply the writes of other processes over the same data, until cancelled."""
    while True:
        try:
            if await database.follow_others():
                await catalogs.start_update()
        except errors.AkinError as exc:
            structlog.get_logger().warning("refresh_failed", reason=exc.reason)
            await asyncio.sleep(LOOK_RETRY_SECONDS)


async def report_stats(
    catalogs: OpenCatalogs,
    show_stats: Callable[[list[CatalogStats]], None],
    set_embedding_health: EmbeddingHealth,
) -> None:
    """Report the statistics of all catalogs, and whether texts can be embedded, until cancelled.

    Args:
        catalogs: the open catalogs.
        show_stats: updates the metrics.
        set_embedding_health: receives whether every catalog's provider answers.
    """
    warned_names: set[str] = set()
    watch = StatsWatch(catalogs)
    while True:
        try:
            stats = await watch.read()
            show_stats(stats)
            _warn_of_unknown_texts(stats, warned_names)
            healthy = not any(catalog.embedding_error_reason for catalog in stats)
            await set_embedding_health(healthy=healthy)
        except errors.AkinError as exc:
            structlog.get_logger().warning("report_failed", reason=exc.reason)
        await asyncio.sleep(REPORT_SECONDS)


def _warn_of_unknown_texts(stats: Sequence[CatalogStats], warned_names: set[str]) -> None:
    """Log a warning for each catalog with texts that the local model does not know, once."""
    warned_names.intersection_update(catalog.name for catalog in stats)
    for catalog in stats:
        if catalog.unknown_text_ratio and catalog.name not in warned_names:
            structlog.get_logger().warning(
                "texts_unknown_to_local_model",
                catalog=catalog.name,
                ratio=round(catalog.unknown_text_ratio, 2),
            )
            warned_names.add(catalog.name)
