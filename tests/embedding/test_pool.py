import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.clock import FakeClock
from support.embedders import SPACE, WordEmbedder
from support.stores import opened

from service.domain.spaces import Model
from service.embedding.budget import Budget
from service.embedding.pool import EmbedderPool, EmbeddingObserver
from service.embedding.providers import PricedEmbedder
from service.embedding.request_sender import RequestObserver
from service.embedding.text_embedder import TextObserver
from service.settings import Settings

OTHER = Model(replace(SPACE, model="other words"))


class ClosableEmbedder(WordEmbedder):
    """An embedder that counts how often it is closed."""

    closings = 0

    async def close(self) -> None:
        """Count."""
        self.closings += 1


def ignore(_value: float) -> None:
    """Observe nothing."""


async def fetch_usd_per_token() -> float:
    return 0.0


async def test_an_embedder_closes_with_its_last_user(tmp_path: Path) -> None:
    """Its task and its embedder end when no text embedder uses a model; other models go on."""
    async with opened(tmp_path, FakeClock()) as (stores, generation), AsyncExitStack() as stack:
        tasks: list[asyncio.Task[None]] = []

        def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            tasks.append(asyncio.create_task(work))
            return tasks[-1]

        observer = EmbeddingObserver(RequestObserver(ignore, ignore), TextObserver(ignore, ignore))
        budget = Budget(stores.usage, None, lambda: 0)
        pool = EmbedderPool(Settings(), budget, observer, spawn, stack)
        embedders = {Model(SPACE): ClosableEmbedder(), OTHER: ClosableEmbedder()}
        for model, embedder in embedders.items():
            pool.add(model, PricedEmbedder(embedder, fetch_usd_per_token))
        another = replace(generation, generation_id=generation.generation_id + 1)
        for user, model in (
            (generation, OTHER),
            (another, OTHER),
            (another, OTHER),
            (generation, Model(SPACE)),
        ):
            await pool.make_text_embedder(stores.vectors, user, model)
        await pool.release(generation, OTHER)
        assert [False, False] == [task.done() for task in tasks]
        await pool.release(another, OTHER)
        await pool.release(another, OTHER)  # again: no error
        assert [0, 1] == [embedder.closings for embedder in embedders.values()]
        assert [False, True] == [task.done() for task in tasks]
        await stack.aclose()
        assert [1, 1] == [embedder.closings for embedder in embedders.values()]
        for task in tasks:
            task.cancel()
