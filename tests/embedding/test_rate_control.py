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
    """A clock that stands still unless told otherwise."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.seconds


async def attempts(rate_controller: RateController, *outcomes: Exception | None) -> None:
    """Makes requests that end so, one after the other."""
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
    """Each limit of our rate halves the requests at once; a round of successes adds one."""
    rate_controller = RateController(8)
    await attempts(rate_controller, THROTTLED, THROTTLED)
    assert 2 == rate_controller.limit
    await attempts(rate_controller, None, None, None)
    assert 3 == rate_controller.limit
    await attempts(rate_controller, *[THROTTLED] * 10)
    assert 1 == rate_controller.limit
    await attempts(rate_controller, *[None] * 100)
    assert 8 == rate_controller.limit


async def test_batches_wait_for_their_turn() -> None:
    """No more batches are under way than allowed; one that ends makes room for the next."""
    rate_controller = RateController(1)
    await rate_controller.acquire()
    waiting = await started(rate_controller.acquire())
    assert not waiting.done()
    await rate_controller.release()
    await waiting
    assert 1 == rate_controller.in_flight
    await left(await started(rate_controller.acquire()))
    assert 1 == rate_controller.in_flight


async def test_failures_in_a_row_open_the_circuit() -> None:
    """After several failures in a row nothing is sent; one success between begins anew."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await attempts(
        rate_controller,
        *[DOWN] * (FAILURES_BEFORE_OPEN - 1),
        None,
        *[DOWN] * (FAILURES_BEFORE_OPEN - 1),
    )
    await attempts(rate_controller, DOWN)
    await assert_open(rate_controller)
    assert EmbeddingProblem("EMBEDDING_UNAVAILABLE", "down") == rate_controller.problem


async def test_one_request_probes_an_open_circuit() -> None:
    """Once the time is over one request goes through, and others wait for what it tells."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await attempts(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    clock.seconds += MIN_OPEN_SECONDS
    async with rate_controller.track_request():
        await assert_open(rate_controller)
    await attempts(rate_controller, None)
    assert NO_PROBLEM == rate_controller.problem


async def test_a_failed_probe_keeps_the_circuit_open_for_longer() -> None:
    """Each probe that fails doubles the time until the next, up to a bound."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await attempts(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    waits = []
    for _ in range(7):
        start = clock.seconds
        while True:
            clock.seconds += 0.5
            before = rate_controller.problem
            rate_controller.problem = NO_PROBLEM
            await attempts(rate_controller, DOWN)
            if rate_controller.problem != NO_PROBLEM:
                break
            rate_controller.problem = before
        waits.append(clock.seconds - start)
    assert [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0] == waits
    assert MAX_OPEN_SECONDS == waits[-1]


async def test_refusals_do_not_open_the_circuit() -> None:
    """A provider that refuses is alive: only silence and outages open the circuit."""
    rate_controller = RateController(8, Stopwatch())
    refused = ProviderRefused("bad key")
    await attempts(rate_controller, *[refused] * 20)
    assert EmbeddingProblem("EMBEDDING_REJECTED", "bad key") == rate_controller.problem
    await attempts(rate_controller, TextRefused("too long", certain=True))
    assert NO_PROBLEM == rate_controller.problem
    await attempts(rate_controller, *[THROTTLED] * 20, None)


async def test_requests_under_way_do_not_lengthen_the_outage() -> None:
    """Failures of requests sent before the circuit opened leave the time of the probe alone."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    fail = asyncio.Event()

    async def request() -> None:
        with suppress(ProviderUnavailable):
            async with rate_controller.track_request():
                await fail.wait()
                raise DOWN

    under_way = [await started(request()) for _ in range(3)]
    await attempts(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    fail.set()
    await asyncio.gather(*under_way)
    await assert_open(rate_controller)
    clock.seconds += MIN_OPEN_SECONDS
    await attempts(rate_controller, None)
    assert NO_PROBLEM == rate_controller.problem


async def test_a_probe_whose_caller_leaves_makes_room_for_another() -> None:
    """A probe that is cancelled tells nothing, and the next request probes instead."""
    clock = Stopwatch()
    rate_controller = RateController(8, clock)
    await attempts(rate_controller, *[DOWN] * FAILURES_BEFORE_OPEN)
    clock.seconds += MIN_OPEN_SECONDS
    with pytest.raises(asyncio.CancelledError):
        async with rate_controller.track_request():
            raise asyncio.CancelledError
    async with rate_controller.track_request():
        await assert_open(rate_controller)
    assert NO_PROBLEM == rate_controller.problem
