"""One engine for each model: what embeds, the queue before it, and the vectors used last.

Catalogs with the same model share an engine, and so its pace, its requests and its memory.
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
from service.embedding.budget import Ledger, MeteredEmbedder
from service.embedding.cache import VectorCache
from service.embedding.providers import Provider, open_model
from service.embedding.text_embedder import Vectoriser, VectorStore
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
class Engine:
    """What embeds texts in one space, and its price."""

    batcher: Batcher
    cache: VectorCache
    usd_per_token: Callable[[], Awaitable[float]]


class Engines:
    """The engines of this process.

    Args:
        settings: where providers are, and how to ask them.
        ledger: what all spending goes through.
        watch: whom to tell.
        spawn: starts each engine's work.
        stack: closes embedders at the end.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        watch: Observers,
        spawn: Spawn,
        stack: AsyncExitStack,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._watch = watch
        self._spawn = spawn
        self._stack = stack
        self._engines: dict[Model, Engine] = {}

    @property
    def queued_texts(self) -> int:
        """How many texts wait to be embedded."""
        return sum(each.batcher.queued for each in self._engines.values())

    def adopt(self, model: Model, provider: Provider) -> None:
        """Takes an open provider as a model's."""
        self._stack.push_async_callback(provider.embedder.close)
        embedder = MeteredEmbedder(provider.embedder, self._ledger, self._watch.request)
        batcher = Batcher(embedder)
        batcher.pace.problem = provider.problem
        cache = VectorCache(embedder.space.dimensions)
        self._engines[model] = Engine(batcher, cache, provider.usd_per_token)
        self._spawn(batcher.run())

    async def engine(self, model: Model) -> Engine:
        """The engine of a model, started if need be."""
        if model not in self._engines:
            loop = asyncio.get_running_loop()
            # The embedded model is read from disk.
            provider = await loop.run_in_executor(None, open_model, self._settings, model)
            if model not in self._engines:
                self.adopt(model, provider)
        return self._engines[model]

    async def vectoriser(
        self, store: VectorStore, generation: Generation, model: Model
    ) -> Vectoriser:
        """What makes texts a generation's vectors."""
        engine = await self.engine(model)
        return Vectoriser(
            store, generation, model.space, engine.batcher, engine.cache, self._watch.texts
        )
