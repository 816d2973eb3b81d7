"""Running batchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.embedding.batcher import Batcher
from service.embedding.embedder import Embedder
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
