"""The daily budget for embedding, and the usage that counts against it."""

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
    """The store of the embedding usage of each day."""

    async def list_days(self, days: int) -> Mapping[str, TokenUsage]:
        """Return the usage of the last days with any, latest first, by YYYY-MM-DD in UTC."""

    async def add(self, day: str, usage: TokenUsage) -> None:
        """Add to the usage of a day, YYYY-MM-DD in UTC."""


class Budget:
    """The usage of the current day (UTC), and the most that it may cost in US dollars."""

    def __init__(
        self, store: UsageStore, budget_usd_per_day: float | None, clock_us: Callable[[], int]
    ) -> None:
        self._store = store
        self._budget_usd = budget_usd_per_day
        self._clock_us = clock_us

    async def check(self) -> None:
        """Raise BudgetSpent if there is a budget and today's usage has reached it."""
        if self._budget_usd is None:
            return
        # Read each time, because other processes over the same data spend the same budget.
        usage_by_day = await self._store.list_days(1)
        today = usage_by_day.get(format_utc_day(self._clock_us()), TokenUsage())
        if today.cost_usd >= self._budget_usd:
            raise errors.BudgetSpent(
                f"today's embedding budget of {self._budget_usd:g} US dollars is spent"
            )

    async def record(self, usage: TokenUsage) -> None:
        """Add to the usage of today."""
        await self._store.add(format_utc_day(self._clock_us()), usage)


class MeteredEmbedder:
    """An Embedder that checks and records the budget for each batch.

    After each batch it calls `observe` with whether the batch failed, and its duration in seconds.
    """

    def __init__(
        self, embedder: Embedder, budget: Budget, observe: Callable[[bool, float], None]
    ) -> None:
        self._embedder = embedder
        self._budget = budget
        self._observe = observe

    @property
    def space(self) -> Space:
        """The space of all its vectors."""
        return self._embedder.space

    @property
    def limits(self) -> BatchLimits:
        """The batches that it accepts."""
        return self._embedder.limits

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch.

        Raises:
            BudgetSpent: today's budget is spent.
            ProviderError: the batch failed.
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
        """Release threads and connections."""
        await self._embedder.close()


def format_utc_day(time_us: int) -> str:
    """Return the UTC day of a time in microseconds since 1970, as YYYY-MM-DD."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).date().isoformat()
