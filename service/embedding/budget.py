"""What embedding costs: counted by day on disk, and held below the budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from service import errors
from service.domain.spaces import Space
from service.domain.usage import TokenUsage
from service.embedding.embedder import BatchLimits, Embedder, Embeddings
from service.telemetry import call_context


class UsageStore(Protocol):
    """The store as the budget needs it: what embedding consumed, by day."""

    async def list_days(self, days: int) -> Mapping[str, TokenUsage]:
        """Return the usage of the last days with any, latest first, by YYYY-MM-DD in UTC."""

    async def add(self, day: str, usage: TokenUsage) -> None:
        """Add to the usage of a day, YYYY-MM-DD in UTC."""


class Budget:
    """What embedding took today, which is a day of UTC."""

    def __init__(
        self, store: UsageStore, budget_usd_per_day: float | None, clock_us: Callable[[], int]
    ) -> None:
        self._store = store
        self._budget_usd = budget_usd_per_day
        self._clock_us = clock_us

    async def check(self) -> None:
        """Raises BudgetSpent if there is a budget and today's is spent."""
        if self._budget_usd is None:
            return
        # Other processes over the same data spend from it too.
        today = (await self._store.list_days(1)).get(day_of(self._clock_us()), TokenUsage())
        if today.cost_usd >= self._budget_usd:
            raise errors.BudgetSpent(
                f"today's budget for embedding, {self._budget_usd:g} US dollars, is spent"
            )

    async def record(self, spent: TokenUsage) -> None:
        """Adds to today."""
        await self._store.add(day_of(self._clock_us()), spent)


class MeteredEmbedder:
    """An Embedder whose batches go through the budget.

    `observe` is told of each whether it failed, and how many seconds it took.
    """

    def __init__(
        self, embedder: Embedder, budget: Budget, observe: Callable[[bool, float], None]
    ) -> None:
        self._embedder = embedder
        self._budget = budget
        self._observe = observe

    @property
    def space(self) -> Space:
        """The space of every vector it makes."""
        return self._embedder.space

    @property
    def limits(self) -> BatchLimits:
        """How it wants its batches."""
        return self._embedder.limits

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds one batch.

        Raises:
            BudgetSpent: there is no money left for it today.
            ProviderError: it failed.
        """
        await self._budget.check()
        started = time.perf_counter()
        failed = True
        try:
            with call_context.Stage(call_context.REQUEST):
                embeddings = await self._embedder.embed(texts)
            failed = False
        finally:
            self._observe(failed, time.perf_counter() - started)
        if embeddings.prompt_tokens or embeddings.cost_usd:
            await self._budget.record(TokenUsage(embeddings.prompt_tokens, embeddings.cost_usd))
        return embeddings

    async def close(self) -> None:
        """Lets go of threads and connections."""
        await self._embedder.close()


def day_of(time_us: int) -> str:
    """The day of UTC that a time in microseconds since 1970 falls on, YYYY-MM-DD."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).date().isoformat()
