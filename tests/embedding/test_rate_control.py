import asyncio
from contextlib import nullcontext, suppress

import pytest
from support.tasks import left, started

from service.embedding.errors import (
    NO_PROBLEM,
    CircuitOpen,
    EmbeddingProblem,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    TextRefused,
)
from service.embedding.rate_control import (
    FAILURES_BEFORE_OPEN,
    MAX_OPEN_SECONDS,
    MIN_OPEN_SECONDS,
    RateController,
)

DOWN = ProviderUnavailable("down")
THROTTLED = ProviderUnavailable("slower", throttled=True)


class Stopwatch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.seconds


async def send(rate_controller: RateController, *outcomes: Exception | None) -> None:
    """Send one request for each outcome: an error, or None for success."""
    for outcome in outcomes:
        with suppress(ProviderError) if outcome else nullcontext():
            async with rate_controller.track_request():
                if outcome is not None:
                    raise outcome


async def assert_open(rate_controller: RateController) -> None:
    with pytest.raises(CircuitOpen):
        async with rate_controller.track_request():
            raise AssertionError("nothing must be sent")


async def test_throttling_halves_and_success_adds() -> None:
    """Throttling halves the limit of concurrent requests; a round of successes adds one."""
    rate_controller = RateController(8)
    await send(rate_controller, THROTTLED, THROTTLED)
    assert 2 == rate_controller.limit
    await send(rate_controller, None, None, None)
    assert 3 == rate_controller.limit
    await send(rate_controller, *[THROTTLED] * 10)
    assert 1 == rate_controller.limit
    await send(rate_controller, *[None] * 100)
    assert 8 == rate_controller.limit


async def test_batches_wait_for_the_limit() -> None:
    """A batch waits while the limit is reached, and starts when another one completes."""
    rate_controller = RateController(1)
    await rate_controller.acquire()
    waiting = await started(rate_controller.acquire())
    assert not waiting.done()
    await rate_controller.release()
    assert await waiting
    await left(await started(rate_controller.acquire()))
    await rate_controller.release()
    assert await rate_controller.acquire()


async def test_acquire_says_whether_a_batch_is_alone() -> None:
    """The first batch in flight is reported as the only one, and the second is not."""
    rate_controller = RateController(2)
    assert await rate_controller.acquire()
    assert not await rate_controller.acquire()


async def test_failures_in_a_row_open_the_circuit() -> None:
    """Several failures in a row open the circuit breaker; a success resets the count."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await send(
        rate_controller,
        *[DOWN] * (FAILURES_BEFORE_OPEN - 1),
        None,
        *[DOWN] * (FAILURES_BEFORE_OPEN - 1),
    )
    await send(rate_controller, DOWN)
    await assert_open(rate_controller)
    assert EmbeddingProblem("EMBEDDING_UNAVAILABLE", "down") == rate_controller.problem


async def test_one_request_probes_an_open_circuit() -> None:
    """When the circuit breaker has been open long enough, exactly one request is sent."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await send(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    clock.seconds += MIN_OPEN_SECONDS
    async with rate_controller.track_request():
        await assert_open(rate_controller)
    await send(rate_controller, None)
    assert NO_PROBLEM == rate_controller.problem


async def test_a_failed_probe_keeps_the_circuit_open_for_longer() -> None:
    """Each failed probe doubles the time until the next one, up to a bound."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await send(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    waits = []
    for _ in range(7):
        start = clock.seconds
        while True:
            clock.seconds += 0.5
            rate_controller.problem = NO_PROBLEM
            await send(rate_controller, DOWN)
            if rate_controller.problem != NO_PROBLEM:
                break
        waits.append(clock.seconds - start)
    assert [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0] == waits
    assert MAX_OPEN_SECONDS == waits[-1]


async def test_refusals_do_not_open_the_circuit() -> None:
    """Refusals and throttling leave the circuit breaker closed."""
    rate_controller = RateController(8, Stopwatch())
    refused = ProviderRefused("bad key")
    await send(rate_controller, *[refused] * 20)
    assert EmbeddingProblem("EMBEDDING_REJECTED", "bad key") == rate_controller.problem
    await send(rate_controller, TextRefused("too long", certain=True))
    assert NO_PROBLEM == rate_controller.problem
    await send(rate_controller, *[THROTTLED] * 20, None)


async def test_requests_in_flight_do_not_delay_the_probe() -> None:
    """Failures of requests sent before the circuit breaker opened do not delay the probe."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    fail = asyncio.Event()

    async def request() -> None:
        with suppress(ProviderUnavailable):
            async with rate_controller.track_request():
                await fail.wait()
                raise DOWN

    in_flight = [await started(request()) for _ in range(3)]
    await send(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    fail.set()
    await asyncio.gather(*in_flight)
    await assert_open(rate_controller)
    clock.seconds += MIN_OPEN_SECONDS
    await send(rate_controller, None)
    assert NO_PROBLEM == rate_controller.problem


async def test_a_canceled_probe_is_replaced_by_another() -> None:
    """After a canceled probe, the next request is the probe."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await send(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    clock.seconds += MIN_OPEN_SECONDS
    with pytest.raises(asyncio.CancelledError):
        async with rate_controller.track_request():
            raise asyncio.CancelledError
    async with rate_controller.track_request():
        await assert_open(rate_controller)
    assert NO_PROBLEM == rate_controller.problem
