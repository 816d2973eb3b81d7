"""Embeds what could not be embedded when it was written, until it can be."""

from __future__ import annotations

import asyncio

import structlog

from service import errors
from service.domain.values import text_hash
from service.storage import PendingItem, Store
from service.storage.store import CatalogRow
from service.vectoriser import TextVectors, Vectoriser

ITEMS_PER_ROUND = 256
IDLE_SECONDS = 1.0
DELAYS_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)


class PendingEmbedder:
    """Goes through one catalog's pending items. Works while `run` runs."""

    def __init__(self, store: Store, catalog: CatalogRow, vectoriser: Vectoriser) -> None:
        self._store = store
        self._catalog = catalog
        self._vectoriser = vectoriser

    async def run(self) -> None:
        """Works until cancelled."""
        log = structlog.get_logger()
        while True:
            try:
                tried = await self.round()
            except errors.AkinError as exc:
                log.warning("pending_round_failed", reason=exc.reason)
                tried = 0
            if tried < ITEMS_PER_ROUND:
                await asyncio.sleep(IDLE_SECONDS)

    async def round(self) -> int:
        """Tries the items that are due; returns how many there were."""
        due = await self._store.due_pending(self._catalog, ITEMS_PER_ROUND)
        if not due:
            return 0
        outcome = await self._vectoriser.vectors({pending.text for pending in due})
        await asyncio.gather(*(self._finish(pending, outcome) for pending in due))
        return len(due)

    async def _finish(self, pending: PendingItem, outcome: TextVectors) -> None:
        failure = outcome.failures.get(pending.text)
        if failure is None:
            vector = outcome.vectors[pending.text]
            await self._store.settle(self._catalog, pending, text_hash(pending.text), vector)
        else:
            delay = DELAYS_SECONDS[min(pending.attempts, len(DELAYS_SECONDS) - 1)]
            await self._store.postpone(pending, failure.message, delay)
