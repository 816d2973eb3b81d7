"""The statistics of all catalogs at an interval, read again only where they may have changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from service import errors
from service.catalog.handle import CatalogHandle
from service.catalog.open_catalogs import OpenCatalogs
from service.catalog.stats import StatsReader
from service.domain.stats import CatalogStats
from service.domain.usage import DailyUsage

# Looks within which each catalog is read once, changed or not. Numbers of users, interactions and
# clicks can be as old; no metric shows them.
LOOKS_PER_TURN = 150


class _KnownStats(NamedTuple):
    """The statistics of a catalog, with what they were read from."""

    reader: StatsReader
    version: int
    stats: CatalogStats


class StatsWatch:
    """Keeps the statistics of all catalogs current.

    Args:
        catalogs: the open catalogs.
    """

    def __init__(self, catalogs: OpenCatalogs) -> None:
        self._catalogs = catalogs
        self._known: dict[str, _KnownStats] = {}
        self._look = 0

    async def read(self) -> list[CatalogStats]:
        """Return the statistics of all catalogs that are open, by ascending name.

        Raises:
            StoreUnavailable, StoreCorrupted: the database cannot be read.
        """
        names = await self._catalogs.refresh_names()
        self._look += 1
        known: dict[str, _KnownStats] = {}
        usage: Sequence[DailyUsage] = ()
        for place, name in enumerate(names):
            with suppress(errors.CatalogNotFound):  # it may be deleted at any await
                async with self._catalogs.use(name) as catalog:
                    # The first one is always read, for the usage of all catalogs together.
                    is_turn = (place + self._look) % LOOKS_PER_TURN == 0 or not known
                    known[name] = await self._read_one(name, catalog, is_turn=is_turn)
                    if len(known) == 1:
                        usage = known[name].stats.usage
        self._known = known
        return [replace(entry.stats, usage=usage) for entry in known.values()]

    async def _read_one(self, name: str, catalog: CatalogHandle, *, is_turn: bool) -> _KnownStats:
        reader, former = catalog.stats, self._known.get(name)
        version = catalog.generations.serving.reader.version
        is_current = (
            former is not None
            and not is_turn
            and not former.stats.pending
            and former.reader is reader
            and former.version == version
        )
        if former is None or not is_current:
            return _KnownStats(reader, version, await reader.read())
        return former._replace(stats=reader.refresh(former.stats))
