"""Embeds pending items: those whose text could not be embedded when they were written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from service import errors
from service.background.rounds import run_rounds
from service.domain.generations import Generation
from service.embedding.text_embedder import TextEmbedder
from service.embedding.text_vectors import TextVectors
from service.storage.pending import PendingStore
from service.storage.records import UnembeddedItem

# Items that are tried at once.
PENDING_ITEMS_PER_ROUND = 256

# Items that are tried one after the other, because the provider has failed on their texts.
FAILED_ITEMS_PER_ROUND = 16

# The interval of looks for generations with items that are due, and so of rounds that are not full.
PENDING_ITEMS_SECONDS = 1.0

# Delays before the next attempt at an item; the last one repeats. They are short enough that the
# backlog is embedded within half a minute of the provider's return. During an outage most rounds
# meet an open circuit breaker, which costs nothing.
ITEM_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)

# The same for a text that the provider fails on while it embeds others. A fault of the provider may
# be mended, but each attempt may take as long as a request's timeout.
FAILED_ITEM_RETRY_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0)

# Errors that tell nothing about the text.
OUTAGES = (errors.EmbeddingUnavailable, errors.EmbeddingRejected)

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

    async def run(self, wait_until_due: Callable[[], Awaitable[None]]) -> None:
        """Embed items until cancelled.

        Args:
            wait_until_due: waits until an item is due; several tasks call it.
        """
        rounds = (self.run_round, PENDING_ITEMS_PER_ROUND)
        failed_rounds = (self.run_failed_round, FAILED_ITEMS_PER_ROUND)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_rounds(*rounds, wait_until_due))
            group.create_task(run_rounds(*failed_rounds, wait_until_due))

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

    async def run_failed_round(self) -> int:
        """Try the items that are due and whose text the provider failed on; return their number.

        One after the other, in requests of their own, so that they do not affect other texts.
        """
        items = await self._store.list_due(self._generation, FAILED_ITEMS_PER_ROUND, failed=True)
        for item in items:
            outcome = await self._text_embedder.embed_documents(
                [item.text], low_priority=True, alone=True
            )
            if isinstance(outcome.failures.get(item.text), OUTAGES):
                # Its reason stays, or it would join other texts again and make them fail.
                await self._store.defer(self._generation, item, ITEM_RETRY_SECONDS[-1])
            else:
                await self._finish(item, outcome)
        return len(items)

    async def _finish(self, item: UnembeddedItem, outcome: TextVectors) -> None:
        """Store the vectors of an item, or when to try it again."""
        failure = outcome.failures.get(item.text)
        if failure is None:
            await self._store.settle(self._generation, item, outcome.chunks[item.text])
            return
        attempts = item.attempts if item.reason == failure.reason else 0
        delay = _find_delay(failure, attempts)
        await self._store.postpone(self._generation, item, failure.reason, failure.message, delay)


def _find_delay(failure: errors.AkinError, attempts: int) -> float | None:
    """Return the seconds until the next attempt; None for no further attempt."""
    if isinstance(failure, errors.TextRejected) and attempts + 1 >= REJECTIONS:
        return None
    is_failed = isinstance(failure, errors.TextFailed)
    delays = FAILED_ITEM_RETRY_SECONDS if is_failed else ITEM_RETRY_SECONDS
    return delays[min(attempts, len(delays) - 1)]
