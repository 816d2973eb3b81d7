"""How fast a provider is asked: how many requests at once, and whether at all.

The number of requests under way grows by one for each round that succeeds and halves when the
provider limits our rate (additive increase, multiplicative decrease, as TCP does). After several
failures in a row the circuit opens: nothing is sent for a while, then a single request probes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.embedding.errors import (
    CircuitOpen,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)

FAILURES_TO_OPEN = 5
FIRST_OPEN_SECONDS = 1.0
LONGEST_OPEN_SECONDS = 10.0
"""Short enough that what waits is embedded within half a minute of the provider's return."""


class RateController:
    """Admits requests to one provider."""

    def __init__(self, concurrency: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = concurrency
        self._clock = clock
        self._allowed = float(concurrency)
        self._under_way = 0
        self._changed = asyncio.Condition()
        self._failures = 0
        self._open_seconds = FIRST_OPEN_SECONDS
        self._open_until: float | None = None
        self._probing = False
        self.problem = ""  # why the last request failed; empty if it did not

    @property
    def allowed(self) -> int:
        """How many requests may be under way at once just now."""
        return max(1, int(self._allowed))

    @property
    def under_way(self) -> int:
        """How many requests have a slot."""
        return self._under_way

    async def take(self) -> None:
        """Waits until another batch may be under way, and counts it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._under_way < self.allowed)
            self._under_way += 1

    async def give_back(self) -> None:
        """Counts a batch as no longer under way."""
        async with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """One request: refused while the circuit is open, and learnt from.

        Raises:
            CircuitOpen: nothing is sent for now.
        """
        probing = self._admit()
        try:
            yield
        except ProviderUnavailable as exc:
            self._failed(exc, probing=probing)
            raise
        except ProviderError as exc:
            self._answered(exc.message if isinstance(exc, ProviderRefused) else "")
            raise
        else:
            self._answered("")
        finally:
            if probing:
                self._probing = False

    def _admit(self) -> bool:
        """Whether this request is the probe of an open circuit."""
        if self._open_until is None:
            return False
        wait = self._open_until - self._clock()
        if wait > 0 or self._probing:
            raise CircuitOpen("the provider has not answered for a while", max(wait, 0.5))
        self._probing = True
        return True

    def _answered(self, problem: str) -> None:
        self.problem = problem
        self._failures = 0
        self._open_until = None
        self._open_seconds = FIRST_OPEN_SECONDS
        self._allowed = min(self._most, self._allowed + 1.0 / self._allowed)

    def _failed(self, failure: ProviderUnavailable, *, probing: bool) -> None:
        self.problem = failure.message
        if failure.throttled:
            self._allowed = max(1.0, self._allowed / 2)
            if (failure.retry_after_seconds or 0.0) > LONGEST_OPEN_SECONDS:
                # It asks for more patience than anybody has: one request at a time looks again.
                self._open_until = self._clock() + LONGEST_OPEN_SECONDS
            return
        self._failures += 1
        # Requests that were under way when the circuit opened tell nothing new.
        if probing or (self._open_until is None and self._failures >= FAILURES_TO_OPEN):
            self._open_until = self._clock() + self._open_seconds
            self._open_seconds = min(LONGEST_OPEN_SECONDS, self._open_seconds * 2)
