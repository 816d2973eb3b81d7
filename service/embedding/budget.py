"""The daily budget for embedding, and the usage that counts against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from service import errors
from service.domain.usage import TokenUsage


class UsageStore(Protocol):
    """The store of the embedding usage of each day."""

    async def list_days(self, days: int) -> Mapping[str, TokenUsage]:
        """Return the usage of the last days with any, latest first, by YYYY-MM-DD in UTC."""

    async def add(self, day: str, usage: TokenUsage) -> None:
        """Add to the usage of a day, YYYY-MM-DD in UTC."""


class Budget:
    """The usage of the current day (UTC), and the most that it may cost in US dollars."""

    def __init__(
        self, store: UsageStore, budget_usd_per_day: float | None, clock_ns: Callable[[], int]
    ) -> None:
        self._store = store
        self._budget_usd = budget_usd_per_day
        self._clock_ns = clock_ns

    async def check(self) -> None:
        """Raise BudgetSpent if there is a budget and today's usage has reached it."""
        if self._budget_usd is None:
            return
        # Read each time, because other processes over the same data spend the same budget.
        usage_by_day = await self._store.list_days(1)
        today = usage_by_day.get(format_utc_day(self._clock_ns()), TokenUsage())
        if today.cost_usd >= self._budget_usd:
            raise errors.BudgetSpent(
                f"today's embedding budget of {self._budget_usd:g} US dollars is spent"
            )

    async def record(self, usage: TokenUsage) -> None:
        """Add to the usage of today."""
        await self._store.add(format_utc_day(self._clock_ns()), usage)


def format_utc_day(time_ns: int) -> str:
    """Return the UTC day of a time in nanoseconds since 1970, as YYYY-MM-DD."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).date().isoformat()
