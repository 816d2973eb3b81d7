"""The daily budget for embedding, and the usage that counts against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
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


class Reservation:
    """The part of the budget that one request under way may use.

    `usage` is to be set once the provider has responded. It stays None if the request fails.
    """

    def __init__(self, cost_usd: float) -> None:
        self.cost_usd = cost_usd
        self.usage: TokenUsage | None = None


class Budget:
    """The usage of the current day (UTC), and the most that it may cost in US dollars.

    Requests under way count with an estimated cost, or many of them could be sent for the last
    cent. The price of an estimated token is the highest that a response has shown. Until the first
    response, only one request is under way.
    """

    def __init__(
        self, store: UsageStore, budget_usd_per_day: float | None, clock_ns: Callable[[], int]
    ) -> None:
        self._store = store
        self._budget_usd = budget_usd_per_day
        self._clock_ns = clock_ns
        self._usd_per_token: float | None = None
        self._reservations: set[Reservation] = set()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, tokens: int) -> AsyncIterator[Reservation]:
        """Run a request of about this many tokens in the block, and record its usage.

        Waits for requests under way if the rest of the budget may not suffice for all of them.

        Raises:
            BudgetSpent: the rest of today's budget does not suffice; the block does not run.
        """
        reservation = await self._make_reservation(tokens)
        try:
            yield reservation
        finally:
            try:
                if reservation.usage is not None:
                    # Until the usage is on disk, the reservation counts in its place.
                    reservation.cost_usd = reservation.usage.cost_usd
                    self._learn_price(tokens, reservation.usage)
                    await self.record(reservation.usage)
            finally:
                async with self._changed:
                    self._reservations.discard(reservation)
                    self._changed.notify_all()

    async def _make_reservation(self, tokens: int) -> Reservation:
        async with self._changed:
            while True:
                # Read each time, because other processes over the same data spend the same budget.
                spent_usd = await self._read_spent_usd()
                reservation = Reservation((self._usd_per_token or 0.0) * tokens)
                if self._has_room(spent_usd, reservation):
                    self._reservations.add(reservation)
                    return reservation
                await self._changed.wait()

    async def _read_spent_usd(self) -> float:
        if self._budget_usd is None:
            return 0.0
        usage_by_day = await self._store.list_days(1)
        return usage_by_day.get(format_utc_day(self._clock_ns()), TokenUsage()).cost_usd

    def _has_room(self, spent_usd: float, reservation: Reservation) -> bool:
        """Return whether a request may be sent now, or false if others have to end first.

        Raises:
            BudgetSpent: the request would exceed the budget even if it were the only one.
        """
        if self._budget_usd is None:
            return True
        if spent_usd >= self._budget_usd or spent_usd + reservation.cost_usd > self._budget_usd:
            raise errors.BudgetSpent(
                f"today's embedding budget of {self._budget_usd:g} US dollars is spent"
            )
        if self._usd_per_token is None:
            return not self._reservations
        reserved_usd = sum(other.cost_usd for other in self._reservations)
        return spent_usd + reserved_usd + reservation.cost_usd <= self._budget_usd

    def _learn_price(self, tokens: int, usage: TokenUsage) -> None:
        self._usd_per_token = max(self._usd_per_token or 0.0, usage.cost_usd / max(tokens, 1))

    async def record(self, usage: TokenUsage) -> None:
        """Add to the usage of today."""
        if usage.prompt_tokens or usage.cost_usd:
            await self._store.add(format_utc_day(self._clock_ns()), usage)


def format_utc_day(time_ns: int) -> str:
    """Return the UTC day of a time in nanoseconds since 1970, as YYYY-MM-DD."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).date().isoformat()
