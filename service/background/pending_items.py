"""Embeds what could not be embedded when it was written, until it can be."""

from __future__ import annotations

import asyncio

import structlog

from service import errors
from service.domain.generations import Generation
from service.embedding.text_embedder import TextEmbedder, TextVectors
from service.storage import Store
from service.storage.records import PendingItem

ITEMS_PER_ROUND = 256
IDLE_SECONDS = 1.0
DELAYS_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)
"""The last one holds from then on: short enough that all is embedded within half a minute of the
provider's return, and most of these rounds meet an open circuit, which costs nothing."""

REJECTIONS = 3
"""A text refused so often is left alone until its item is written again or the server restarts."""


class PendingEmbedder:
    """Goes through the items that wait in one generation. Works while `run` runs."""

    def __init__(self, store: Store, generation: Generation, text_embedder: TextEmbedder) -> None:
        self._store = store
        self._generation = generation
        self._text_embedder = text_embedder

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
        due = await self._store.due_pending(self._generation, ITEMS_PER_ROUND)
        if not due:
            return 0
        outcome = await self._text_embedder.embed_documents(
            {pending.text for pending in due}, low_priority=True
        )
        await asyncio.gather(*(self._finish(pending, outcome) for pending in due))
        return len(due)

    async def _finish(self, pending: PendingItem, outcome: TextVectors) -> None:
        failure = outcome.failures.get(pending.text)
        if failure is None:
            await self._store.settle(self._generation, pending, outcome.chunks[pending.text])
            return
        delay: float | None = DELAYS_SECONDS[min(pending.attempts, len(DELAYS_SECONDS) - 1)]
        if isinstance(failure, errors.TextRejected) and pending.attempts + 1 >= REJECTIONS:
            delay = None
        await self._store.postpone(self._generation, pending, failure.message, delay)
