"""One embedder for each model, with its batch queue and its vector cache.

Catalogs with the same model share an embedder, and with it the rate controller, the batches and
the cache. An embedder is closed with the last generation that uses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.domain.claims import Settlement
from service.domain.generations import Generation
from service.domain.spaces import Model
from service.domain.usage import TokenUsage
from service.embedding.batcher import Batcher
from service.embedding.embedder import PROBE_TEXT
from service.embedding.paid_requests import PaidRequests, PaidVectors
from service.embedding.providers import PricedEmbedder, open_embedder
from service.embedding.request_sender import RequestObserver
from service.embedding.text_embedder import TextEmbedder, TextObserver, VectorStore
from service.embedding.token_estimates import estimate_tokens
from service.embedding.unavailable import UnavailableEmbedder
from service.embedding.vector_cache import CacheMemory, VectorCache
from service.settings import Settings

# Starts a task that runs as long as the server; an exception in it ends the server.
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class EmbeddingObserver(NamedTuple):
    """Observes requests and texts, for metrics."""

    requests: RequestObserver
    texts: TextObserver


@dataclass(slots=True)
class PooledEmbedder:
    """The shared parts of one model's embedder, and a function that returns its price.

    `users` has the ids of the generations that use it, `batching` is the task of its batch queue,
    and `close` closes it.
    """

    batcher: Batcher
    cache: VectorCache
    fetch_usd_per_token: Callable[[], Awaitable[float]]
    batching: asyncio.Task[None]
    close: Callable[[], Awaitable[None]]
    users: set[int] = field(default_factory=set)


class EmbedderPool:
    """The embedders of this process, by model.

    Args:
        settings: the provider and the parameters of its requests.
        paid_requests: records the requests to models that are not free, and limits their cost.
        observer: counts requests and texts.
        spawn: starts the task of each batch queue.
        stack: closes the embedders at its end.
    """

    def __init__(
        self,
        settings: Settings,
        paid_requests: PaidRequests,
        observer: EmbeddingObserver,
        spawn: Spawn,
        stack: AsyncExitStack,
    ) -> None:
        self._settings = settings
        self._paid_requests = paid_requests
        self._observer = observer
        self._spawn = spawn
        self._embedders: dict[Model, PooledEmbedder] = {}
        self._cache_memory = CacheMemory()
        stack.push_async_callback(self._close_all)

    @property
    def queued_texts(self) -> int:
        """The number of texts that wait to be embedded."""
        return sum(embedder.batcher.queued_texts for embedder in self._embedders.values())

    def add(self, model: Model, priced: PricedEmbedder) -> None:
        """Add the opened embedder of a model, and start its batch queue."""
        is_free = model.space.is_local or isinstance(priced.embedder, UnavailableEmbedder)
        paid_requests = None if is_free else self._paid_requests
        batcher = Batcher(priced.embedder, paid_requests, self._observer.requests)
        self._record_probe(model, priced.usage)
        batcher.rate_controller.problem = priced.problem
        cache = VectorCache(self._cache_memory, model.space.fingerprint)
        self._embedders[model] = PooledEmbedder(
            batcher,
            cache,
            priced.fetch_usd_per_token,
            self._spawn(batcher.run()),
            priced.embedder.close,
        )

    def _record_probe(self, model: Model, usage: TokenUsage) -> None:
        """Record the request that checked the model, if there was one."""
        if usage.prompt_tokens or usage.cost_usd:
            self._paid_requests.settle_later(Settlement(None, usage=usage))
            prices = self._paid_requests.get_prices(model.space.fingerprint)
            prices.learn(estimate_tokens(PROBE_TEXT), usage.cost_usd)

    async def get(self, model: Model) -> PooledEmbedder:
        """Return the embedder of a model; the first call opens it."""
        if model not in self._embedders:
            loop = asyncio.get_running_loop()
            # In a thread, because the local model is read from disk.
            priced = await loop.run_in_executor(None, open_embedder, self._settings, model)
            if model not in self._embedders:
                self.add(model, priced)
        return self._embedders[model]

    async def make_text_embedder(
        self, store: VectorStore, generation: Generation, model: Model
    ) -> TextEmbedder:
        """Return the text embedder of a generation; `release` ends its use of the model."""
        embedder = await self.get(model)
        embedder.users.add(generation.generation_id)
        paid_vectors = PaidVectors(self._paid_requests, model.space.fingerprint)
        return TextEmbedder(
            store if model.space.is_local else paid_vectors,
            generation,
            model.space,
            embedder.batcher,
            embedder.cache,
            self._observer.texts,
        )

    async def release(self, generation: Generation, model: Model) -> None:
        """End a generation's use of a model, and close the embedder after the last one."""
        embedder = self._embedders.get(model)
        if embedder is None:
            return
        embedder.users.discard(generation.generation_id)
        if embedder.users:
            return
        del self._embedders[model]
        embedder.batching.cancel()
        await asyncio.wait([embedder.batching])
        await embedder.close()

    async def _close_all(self) -> None:
        for embedder in self._embedders.values():
            await embedder.close()
