"""Embeds pending items: those whose text could not be embedded when they were written."""

from __future__ import annotations

import asyncio

import structlog

from service import errors
from service.domain.generations import Generation
from service.embedding.text_embedder import TextEmbedder, TextVectors
from service.storage.pending import PendingStore
from service.storage.records import UnembeddedItem

# Items that are tried at once.
PENDING_ITEMS_PER_ROUND = 256

# The interval of rounds while few items are due.
IDLE_SECONDS = 1.0

# Delays before the next attempt at an item; the last one repeats. They are short enough that the
# backlog is embedded within half a minute of the provider's return. During an outage most rounds
# meet an open circuit breaker, which costs nothing.
ITEM_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)

# Rejections by the model after which a text is not tried again, until its item is written again or
# the server restarts.
REJECTIONS = 3


class PendingEmbedder:
    """Embeds the pending items of one generation while `run` runs."""

    def __init__(
        self, store: PendingStore, generation: Generation, text_embedder: TextEmbedder
    ) -> None:
        self._store = store
        self._generation = generation
        self._text_embedder = text_embedder

    async def run(self) -> None:
        """Embed items until cancelled."""
        while True:
            try:
                tried = await self.run_round()
            except errors.AkinError as exc:
                structlog.get_logger().warning("pending_round_failed", reason=exc.reason)
                tried = 0
            if tried < PENDING_ITEMS_PER_ROUND:
                await asyncio.sleep(IDLE_SECONDS)

    async def run_round(self) -> int:
        """Try the items that are due; return their number."""
        items = await self._store.list_due(self._generation, PENDING_ITEMS_PER_ROUND)
        if not items:
            return 0
        outcome = await self._text_embedder.embed_documents(
            {item.text for item in items}, low_priority=True
        )
        await asyncio.gather(*(self._finish(item, outcome) for item in items))
        return len(items)

    async def _finish(self, item: UnembeddedItem, outcome: TextVectors) -> None:
        """Store the vectors of an item, or when to try it again."""
        failure = outcome.failures.get(item.text)
        if failure is None:
            await self._store.settle(self._generation, item, outcome.chunks[item.text])
            return
        delay: float | None = ITEM_RETRY_SECONDS[min(item.attempts, len(ITEM_RETRY_SECONDS) - 1)]
        if isinstance(failure, errors.TextRejected) and item.attempts + 1 >= REJECTIONS:
            delay = None
        await self._store.postpone(self._generation, item, failure.reason, failure.message, delay)
