"""One embedder for each model: what embeds, the queue before it, and the vectors used last.

Catalogs with the same model share an embedder, and so its rate controller, its requests and its
memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from service.domain.generations import Generation
from service.domain.spaces import Model
from service.embedding.batcher import Batcher
from service.embedding.budget import Budget, MeteredEmbedder
from service.embedding.cache import VectorCache
from service.embedding.providers import Provider, open_model
from service.embedding.text_embedder import TextEmbedder, VectorStore
from service.settings import Settings

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts work that goes on as long as the server; what it raises ends the server."""


class Observers(Protocol):
    """Who is told of requests and texts."""

    def request(self, failed: bool, seconds: float) -> None:
        """A request to an embedder ended."""

    def texts(self, embedded: int, cached: int) -> None:
        """Vectors were wanted for texts."""


@dataclass(frozen=True, slots=True)
class PooledEmbedder:
    """What embeds texts in one space, and its price."""

    batcher: Batcher
    cache: VectorCache
    usd_per_token: Callable[[], Awaitable[float]]


class EmbedderPool:
    """The embedders of this process.

    Args:
        settings: where providers are, and how to ask them.
        budget: what all spending goes through.
        watch: whom to tell.
        spawn: starts each embedder's work.
        stack: closes embedders at the end.
    """

    def __init__(
        self,
        settings: Settings,
        budget: Budget,
        watch: Observers,
        spawn: Spawn,
        stack: AsyncExitStack,
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._watch = watch
        self._spawn = spawn
        self._stack = stack
        self._embedder_pool: dict[Model, PooledEmbedder] = {}

    @property
    def queued_texts(self) -> int:
        """How many texts wait to be embedded."""
        return sum(each.batcher.queued for each in self._embedder_pool.values())

    def adopt(self, model: Model, provider: Provider) -> None:
        """Takes an open provider as a model's."""
        self._stack.push_async_callback(provider.embedder.close)
        embedder = MeteredEmbedder(provider.embedder, self._budget, self._watch.request)
        batcher = Batcher(embedder)
        batcher.rate_controller.problem = provider.problem
        cache = VectorCache(embedder.space.dimensions)
        self._embedder_pool[model] = PooledEmbedder(batcher, cache, provider.usd_per_token)
        self._spawn(batcher.run())

    async def engine(self, model: Model) -> PooledEmbedder:
        """The embedder of a model, started if need be."""
        if model not in self._embedder_pool:
            loop = asyncio.get_running_loop()
            # The embedded model is read from disk.
            provider = await loop.run_in_executor(None, open_model, self._settings, model)
            if model not in self._embedder_pool:
                self.adopt(model, provider)
        return self._embedder_pool[model]

    async def text_embedder(
        self, store: VectorStore, generation: Generation, model: Model
    ) -> TextEmbedder:
        """What makes texts a generation's vectors."""
        engine = await self.engine(model)
        return TextEmbedder(
            store, generation, model.space, engine.batcher, engine.cache, self._watch.texts
        )
