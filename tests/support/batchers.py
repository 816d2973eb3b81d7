"""Running batchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from service.embedding.batcher import Batcher
from service.embedding.embedder import Embedder, EmbeddingOutcome
from service.embedding.retries import RetryingEmbedder
from support.stores import GIVE_UP_SECONDS
from support.tasks import left


@asynccontextmanager
async def working(embedder: Embedder) -> AsyncIterator[Batcher]:
    """Run a batcher until the end of the block."""
    batcher = Batcher(embedder)
    async with asyncio.timeout(GIVE_UP_SECONDS):
        task = asyncio.create_task(batcher.run())
        try:
            yield batcher
        finally:
            await left(task)


async def collect(
    embedder: RetryingEmbedder,
    texts: Sequence[str],
    is_awaited: Callable[[str], bool] = lambda _text: True,
) -> dict[str, EmbeddingOutcome]:
    """Return the outcomes of all parts of a batch."""
    outcomes: dict[str, EmbeddingOutcome] = {}
    async for part in embedder.embed(texts, lambda chosen: list(filter(is_awaited, chosen))):
        outcomes |= part
    return outcomes
