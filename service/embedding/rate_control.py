"""Controls the rate of requests to a provider, and stops them while the provider is down.

The limit of concurrent requests grows by one for each round that succeeds, and halves when the
provider limits our rate (additive increase, multiplicative decrease, as in TCP). After several
failures in a row the circuit breaker opens: nothing is sent for a while, and then a single request
probes the provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.embedding.errors import (
    NO_PROBLEM,
    CircuitOpen,
    EmbeddingProblem,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    to_problem,
)

# Failures in a row after which the circuit breaker opens.
FAILURES_BEFORE_OPEN = 5

# How long the circuit breaker is open at first; each failed probe doubles it.
MIN_OPEN_SECONDS = 1.0

# Short enough that the backlog is embedded within half a minute of the provider's return.
MAX_OPEN_SECONDS = 10.0

# Of this many concurrent batches, one is reserved for texts without low priority. With the default
# concurrency of 8, imports have 7; with less than 8, they can have all.
BATCHES_PER_RESERVED_BATCH = 8

# The least delay that callers are asked for while a probe is in flight.
MIN_RETRY_AFTER_SECONDS = 0.5


@dataclass(slots=True)
class TrackedRequest:
    """A request under way; `is_sent` is to be set to False if it was not necessary."""

    is_sent: bool = True


class RateController:
    """Limits the requests to one provider.

    `problem` tells why the last request failed.
    """

    def __init__(self, concurrency: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_limit = concurrency
        self._clock = clock
        self._limit = float(concurrency)
        self._in_flight = 0
        self._changed = asyncio.Condition()
        self._failures = 0
        self._open_seconds = MIN_OPEN_SECONDS
        self._open_until: float | None = None
        self._is_probing = False
        self.problem: EmbeddingProblem = NO_PROBLEM

    @property
    def limit(self) -> int:
        """The number of batches that may be in flight at once now."""
        return max(1, int(self._limit))

    @property
    def has_room_for_low_priority(self) -> bool:
        """Whether the batch acquired last may have low priority.

        Such batches leave room for others, because a provider may hang on their texts alone.
        """
        return self._in_flight <= self.find_limit(low_priority=True)

    def find_limit(self, *, low_priority: bool) -> int:
        """Return the number of batches in flight up to which one of a priority may be added."""
        reserved = self.limit // BATCHES_PER_RESERVED_BATCH if low_priority else 0
        return self.limit - reserved

    async def acquire(self) -> bool:
        """Wait until another batch may be in flight, and count it.

        Returns:
            Whether it is the only batch in flight.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < self.limit)
            self._in_flight += 1
            return self._in_flight == 1

    async def release(self) -> None:
        """Count a batch as completed."""
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    @asynccontextmanager
    async def track_request(self) -> AsyncIterator[TrackedRequest]:
        """Run one request in the block, and adapt to its outcome.

        Raises:
            CircuitOpen: the circuit breaker is open; the block does not run.
        """
        is_probe = self._enter_circuit()
        tracked = TrackedRequest()
        try:
            yield tracked
        except ProviderUnavailable as exc:
            self._record_failure(exc, is_probe=is_probe)
            raise
        except ProviderError as exc:
            problem = to_problem(exc) if isinstance(exc, ProviderRefused) else NO_PROBLEM
            self._record_response(problem)
            raise
        else:
            if tracked.is_sent:
                self._record_response(NO_PROBLEM)
        finally:
            if is_probe:
                self._is_probing = False

    def _enter_circuit(self) -> bool:
        """Return whether the request is the probe of an open circuit breaker."""
        if self._open_until is None:
            return False
        wait = self._open_until - self._clock()
        if wait > 0 or self._is_probing:
            raise CircuitOpen(
                "the provider has failed repeatedly", max(wait, MIN_RETRY_AFTER_SECONDS)
            )
        self._is_probing = True
        return True

    def _record_response(self, problem: EmbeddingProblem) -> None:
        self.problem = problem
        self._failures = 0
        self._open_until = None
        self._open_seconds = MIN_OPEN_SECONDS
        self._limit = min(self._max_limit, self._limit + 1.0 / self._limit)

    def _record_failure(self, failure: ProviderUnavailable, *, is_probe: bool) -> None:
        self.problem = to_problem(failure)
        if failure.throttled:
            self._limit = max(1.0, self._limit / 2)
            if (failure.retry_after_seconds or 0.0) > MAX_OPEN_SECONDS:
                # It asks for a longer delay than callers have time: probe it earlier.
                self._open_until = self._clock() + MAX_OPEN_SECONDS
            return
        self._failures += 1
        # Requests in flight when the circuit breaker opened must not extend the time.
        is_closed = self._open_until is None
        if is_probe or (is_closed and self._failures >= FAILURES_BEFORE_OPEN):
            self._open_until = self._clock() + self._open_seconds
            self._open_seconds = min(MAX_OPEN_SECONDS, self._open_seconds * 2)
