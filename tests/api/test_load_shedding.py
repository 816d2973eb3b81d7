"""The load shedder with a clock and call counts that the tests set."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack

import pytest
from support.tasks import left

from service import errors
from service.api import load_shedding, parked_calls, queued_calls
from service.api.load_shedding import LoadShedder

WAIT_SECONDS = 60.0


class Clock:
    """A monotonic clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Counts:
    """Counts that tests set: `queued` calls wait inside gRPC."""

    def __init__(self) -> None:
        self.accepted = 0
        self.queued = 0
        self.lost = 0
        self.can_probe = True
        self._before_probe = 0
        self.measurements = 0

    def count_arrived(self) -> int:
        """Return the accepted, the queued and the lost calls."""
        self.measurements += 1
        return self.accepted + self.queued + self.lost

    def send_probe(self) -> None:
        """Queue a probe behind the queued calls."""
        self._before_probe = self.accepted + self.queued

    @property
    def accepted_before_probe(self) -> int | None:
        """The place of the probe once it is accepted."""
        return self._before_probe if self.accepted >= self._before_probe else None


class Load:
    """A shedder, its clock and its counts, with calls that arrive when a test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.counts = Counts()
        self.shedder = LoadShedder(self.counts, self.clock)

    def arrive(self, caller: str = "caller") -> asyncio.Task[None]:
        """Return the start of a call."""
        self.counts.accepted += 1
        return asyncio.create_task(self.shedder.start(lambda: caller))

    async def serve(self, calls: int, seconds: float) -> None:
        """Let calls arrive one after the other and end at once, until overload or for a time."""
        for _ in range(calls):
            self.clock.now += seconds / calls
            call = self.arrive()
            await asyncio.sleep(0)
            if self.shedder.is_overloaded:
                await left(call)
                return
            await call
            self.shedder.end()

    async def overload(self, *, is_burst: bool = False) -> None:
        """Queue more calls than may wait, and empty the queue as soon as overload has begun.

        Unless it is a burst, let it last for a while.
        """
        self.counts.queued = load_shedding.MAX_QUEUED_CALLS + 1
        await self.serve(2 * load_shedding.MEASURE_CALLS, 4 * queued_calls.MEASURE_SECONDS)
        assert self.shedder.is_overloaded
        self.counts.queued = 0
        self.clock.now += 1.1 * queued_calls.MEASURE_SECONDS
        self.clock.now += 0.0 if is_burst else load_shedding.MAX_BURST_SECONDS

    async def fill(self, caller: str = "caller") -> None:
        """Start as many calls as may run during overload."""
        limit = load_shedding.MAX_RUNNING_CALLS
        calls = [self.arrive(caller) for _ in range(limit)]
        assert await asyncio.gather(*map(outcome, calls)) == ["started"] * limit

    async def pass_time(self, calls: Iterable[Awaitable[None]]) -> list[str]:
        """Let time pass until calls have started or were refused; return which."""
        outcomes = asyncio.gather(*map(outcome, calls))
        while not outcomes.done():
            await asyncio.sleep(load_shedding.ROUND_SECONDS)
            self.clock.now += load_shedding.REFUSAL_SECONDS
        return outcomes.result()

    async def repeat_calls(self, callers: int, seconds: float) -> None:
        """Let callers call one after the other, for a time or until the overload is over.

        A call takes longer than calls may wait. None waits for ever when the overload is over.
        """
        calls = [self.arrive() for _ in range(callers)]
        began = self.clock.now
        while self.shedder.is_overloaded and self.clock.now - began < seconds:
            await asyncio.sleep(load_shedding.ROUND_SECONDS)
            self.clock.now += 2 * parked_calls.MAX_AGE_SECONDS
            for call in [call for call in calls if call.done()]:
                calls.remove(call)
                if await outcome(call) == "started":
                    self.shedder.end()
                calls.append(self.arrive())
        if self.shedder.is_overloaded:
            await asyncio.gather(*map(left, calls))
        else:
            outcomes = await asyncio.gather(*map(outcome, calls))
            for _ in range(outcomes.count("started")):
                self.shedder.end()


async def outcome(call: Awaitable[None]) -> str:
    """Return whether a call was "started" or "refused"."""
    try:
        await asyncio.wait_for(call, WAIT_SECONDS)
    except errors.Overloaded:
        return "refused"
    return "started"


def run(test: Callable[[Load], Awaitable[None]]) -> None:
    """Run a test in an event loop."""

    async def main() -> None:
        await asyncio.wait_for(test(Load()), 2 * WAIT_SECONDS)

    asyncio.run(main())


def test_light_load_is_never_measured_call_by_call() -> None:
    """Calls pay for one measurement in MEASURE_CALLS at most."""

    async def check(load: Load) -> None:
        calls = 10 * load_shedding.MEASURE_CALLS
        await load.serve(calls, calls * 1.0)
        assert load.counts.measurements <= 10

    run(check)


def test_a_short_queue_is_no_overload() -> None:
    """Calls start at once while the queue inside gRPC takes less than MAX_WAIT_SECONDS."""

    async def check(load: Load) -> None:
        load.counts.queued = 200
        await load.serve(2_000, 8.0)  # 250 a second: the queue takes 0.8 s
        assert not load.shedder.is_overloaded

    run(check)


def test_a_queue_that_stays_long_is_overload() -> None:
    """A queue beyond MAX_WAIT_SECONDS is tolerated only for OVERLOADED_AFTER_SECONDS."""

    async def check(load: Load) -> None:
        load.counts.queued = 60
        seconds = load_shedding.OVERLOADED_AFTER_SECONDS
        await load.serve(int(50 * seconds), seconds)  # 50 a second: the queue takes 1.2 s
        assert not load.shedder.is_overloaded
        await load.serve(300, 6.0)
        assert load.shedder.is_overloaded

    run(check)


async def test_many_calls_that_never_queued_are_overload() -> None:
    """Calls over HTTP do not queue inside gRPC: too many of them in progress mean overload."""
    load = Load()
    with ExitStack() as calls:
        for _ in range(load_shedding.MAX_QUEUED_CALLS):
            calls.enter_context(load.shedder.count_unqueued())
        assert not load.shedder.is_overloaded
        with load.shedder.count_unqueued():
            assert load.shedder.is_overloaded
    calm = Load()
    for _ in range(2 * load_shedding.MAX_QUEUED_CALLS):
        with calm.shedder.count_unqueued():
            assert not calm.shedder.is_overloaded


def test_calls_that_are_never_accepted_are_no_queue() -> None:
    """Calls that were counted but never accepted, however many, do not look like overload."""

    async def check(load: Load) -> None:
        for _ in range(20):
            load.counts.lost += load_shedding.MAX_QUEUED_CALLS // 2
            await load.serve(4 * load_shedding.MEASURE_CALLS, 2.0)
            assert not load.shedder.is_overloaded

    run(check)


def test_a_queue_that_grows_slowly_is_overload() -> None:
    """If a few more calls arrive than are accepted, overload begins once they wait too long."""

    async def check(load: Load) -> None:
        for _ in range(load_shedding.MAX_QUEUED_CALLS // 10 + 1):
            load.counts.queued += 10
            await load.serve(200, 0.5)
        assert load.shedder.is_overloaded

    run(check)


def test_during_overload_the_newest_calls_start_and_the_oldest_are_refused() -> None:
    """A call that waited too long is refused, and a new one starts in spite of it."""

    async def check(load: Load) -> None:
        await load.overload()
        load.counts.queued = load_shedding.MAX_QUEUED_CALLS_TO_START
        old = load.arrive()
        await asyncio.sleep(0)
        load.clock.now += parked_calls.MAX_AGE_SECONDS * 1.1
        load.counts.queued = 0
        new = load.arrive()
        assert await outcome(new) == "started"
        load.clock.now += load_shedding.GRACE_SECONDS
        assert await outcome(old) == "refused"

    run(check)


def test_callers_start_calls_in_turns() -> None:
    """One call of a quiet caller starts before the many of a greedy caller that are newer."""

    async def check(load: Load) -> None:
        await load.overload()
        limit = load_shedding.MAX_RUNNING_CALLS
        quiet = load.arrive("quiet")
        await asyncio.sleep(0)
        greedy = [load.arrive("greedy") for _ in range(3 * limit)]
        assert await outcome(quiet) == "started"
        assert sum(call.done() for call in greedy) < limit
        for call in greedy:
            call.cancel()

    run(check)


def test_a_modest_caller_gets_its_turn_on_a_slow_machine() -> None:
    """A single call starts although it has waited longer than the calls of a greedy caller may."""

    async def check(load: Load) -> None:
        await load.overload()
        await load.fill("greedy")
        greedy = [load.arrive("greedy") for _ in range(10)]
        modest = load.arrive("modest")
        await asyncio.sleep(0)
        load.clock.now += 2 * parked_calls.MAX_AGE_SECONDS
        greedy.append(load.arrive("greedy"))
        await asyncio.sleep(0)
        for _ in range(2):
            load.shedder.end()
        assert await load.pass_time([modest]) == ["started"]
        await asyncio.gather(*map(left, greedy))

    run(check)


def test_running_calls_are_limited_during_overload() -> None:
    """Further calls start only when others have ended, however fast they are accepted."""

    async def check(load: Load) -> None:
        await load.overload()
        await load.fill()
        waiting = load.arrive()
        await asyncio.sleep(0)
        load.clock.now += load_shedding.GRACE_SECONDS
        assert await outcome(waiting) == "refused"
        load.shedder.end()
        assert await outcome(load.arrive()) == "started"

    run(check)


def test_calls_that_wait_for_a_provider_do_not_count() -> None:
    """While a call waits for another service, others can have its place."""

    async def check(load: Load) -> None:
        await load.overload()
        await load.fill()
        with load.shedder.suspend():
            assert await outcome(load.arrive()) == "started"
        waiting = load.arrive()
        await asyncio.sleep(0)
        load.clock.now += load_shedding.GRACE_SECONDS
        assert await outcome(waiting) == "refused"

    run(check)


def test_a_burst_that_is_over_is_served() -> None:
    """If calls end soon after overload began, and none follow them, all old calls start as well."""

    async def check(load: Load) -> None:
        await load.overload(is_burst=True)
        limit = load_shedding.MAX_RUNNING_CALLS
        calls = [load.arrive() for _ in range(10 * limit)]
        running = [calls.pop() for _ in range(limit)]
        assert await asyncio.gather(*map(outcome, running)) == ["started"] * limit
        load.clock.now += load_shedding.SILENCE_SECONDS
        load.shedder.end()
        refusals = load_shedding.SILENT_ENDS - 1
        assert await load.pass_time(calls[:refusals]) == ["refused"] * refusals
        results = [asyncio.create_task(outcome(call)) for call in calls[refusals:]]
        for started in asyncio.as_completed(results):
            assert await started == "started"
            load.shedder.end()

    run(check)


def test_a_burst_is_served_beside_few_other_calls() -> None:
    """A burst is recognized although calls of others arrive at shorter intervals."""

    async def check(load: Load) -> None:
        async def serve(call: asyncio.Task[None]) -> str:
            result = await outcome(call)
            if result == "started":
                load.shedder.end()
            return result

        await load.overload(is_burst=True)
        calls = [load.arrive() for _ in range(100)]
        outcomes = asyncio.gather(*map(serve, calls))
        others = []
        interval_seconds = 0.8 * load_shedding.SILENCE_SECONDS
        while not outcomes.done():
            others.append(asyncio.create_task(serve(load.arrive("other"))))
            end = load.clock.now + interval_seconds
            while load.clock.now < end:
                await asyncio.sleep(load_shedding.ROUND_SECONDS)
                load.clock.now += load_shedding.REFUSAL_SECONDS
        assert outcomes.result().count("started") > len(calls) / 2
        await asyncio.gather(*others)

    run(check)


def test_callers_that_wait_for_answers_are_no_burst() -> None:
    """As long as a new call follows each one that ends, calls that are too old do not start."""

    async def check(load: Load) -> None:
        await load.overload(is_burst=True)
        limit = load_shedding.MAX_RUNNING_CALLS
        waiting, *running = [load.arrive() for _ in range(1 + limit)]
        assert await asyncio.gather(*map(outcome, running)) == ["started"] * limit
        for _ in range(10):
            load.clock.now += parked_calls.MAX_AGE_SECONDS * 1.1
            load.shedder.end()
            assert await load.pass_time([waiting]) == ["refused"]
            assert await outcome(load.arrive()) == "started"
            waiting = load.arrive()
            await asyncio.sleep(0)
        waiting.cancel()

    run(check)


def test_accepting_comes_before_refusing() -> None:
    """No call is refused while many are queued, until one has waited for LATE_REFUSAL_SECONDS."""

    async def check(load: Load) -> None:
        await load.overload()
        assert await load.pass_time([load.arrive()]) == ["started"]
        old = load.arrive()
        await asyncio.sleep(0)
        began = load.clock.now
        load.counts.queued = load_shedding.CALM_CALLS + 1
        load.clock.now += 1.1 * parked_calls.MAX_TURN_SECONDS
        while not old.done():
            # Two more calls arrive for each one that is accepted.
            load.counts.queued += 2
            load.counts.accepted += 1
            await asyncio.sleep(load_shedding.ROUND_SECONDS)
            load.clock.now += 1.1 * parked_calls.MAX_TURN_SECONDS
        assert await outcome(old) == "refused"
        assert load.clock.now - began >= load_shedding.LATE_REFUSAL_SECONDS

    run(check)


def test_calls_that_arrive_at_once_are_accepted_before_one_starts() -> None:
    """No call starts while many are queued; after a while, one starts now and then."""

    async def check(load: Load) -> None:
        await load.overload()
        assert await load.pass_time([load.arrive()]) == ["started"]
        load.shedder.end()
        load.counts.queued = 2 * load_shedding.MIN_QUEUED_CALLS
        load.clock.now += 1.1 * queued_calls.MEASURE_SECONDS
        await asyncio.sleep(3 * load_shedding.ROUND_SECONDS)
        call = load.arrive()
        for _ in range(10):
            await asyncio.sleep(load_shedding.ROUND_SECONDS)
        assert not call.done()
        load.clock.now += load_shedding.MAX_CATCH_UP_SECONDS
        starts = 0
        for _ in range(20):
            calls = [load.arrive() for _ in range(2)]
            for _ in range(3):
                await asyncio.sleep(load_shedding.ROUND_SECONDS)
            starts += sum(entry.done() for entry in calls)
            await left(*calls)
            load.clock.now += load_shedding.START_SECONDS / 2
        assert 5 <= starts <= 15
        await left(call)

    run(check)


def test_late_refusals_come_before_serving() -> None:
    """Once a call has waited for LATE_REFUSAL_SECONDS, calls start only now and then."""

    async def check(load: Load) -> None:
        await load.overload()
        old = [load.arrive("greedy") for _ in range(1_000)]
        await asyncio.sleep(0)
        load.clock.now += load_shedding.LATE_REFUSAL_SECONDS
        await asyncio.sleep(load_shedding.ROUND_SECONDS)
        starts = 0
        for _ in range(20):
            calls = [load.arrive("greedy") for _ in range(2)]
            await asyncio.sleep(2 * load_shedding.ROUND_SECONDS)
            starts += sum(call.done() for call in calls)
            await left(*calls)
            load.clock.now += load_shedding.START_SECONDS / 4
        assert 1 <= starts <= 10
        await asyncio.gather(*map(left, old))

    run(check)


def test_a_call_is_refused_before_its_deadline() -> None:
    """A waiting call is refused while its caller can still get the refusal."""

    async def check(load: Load) -> None:
        await load.overload()
        await load.fill()
        load.counts.accepted += 1
        before_deadline = load.shedder.start(lambda: "caller", remaining_seconds=0.1)
        without = load.arrive()
        assert await outcome(before_deadline) == "refused"
        assert not without.done()
        await left(without)

    run(check)


def test_refusals_share_turns_of_the_event_loop() -> None:
    """Calls that are due are refused together, but no more than MAX_REFUSALS_AT_ONCE."""

    async def check(load: Load) -> None:
        await load.overload()
        calls = [load.arrive() for _ in range(2_000)]
        await asyncio.sleep(0)
        load.clock.now += 0.9 * load_shedding.MAX_REFUSAL_SECONDS
        batches = []
        for _ in range(20):
            before = sum(call.done() for call in calls)
            for _ in range(3):
                await asyncio.sleep(load_shedding.ROUND_SECONDS)
            batches.append(sum(call.done() for call in calls) - before)
            load.clock.now += load_shedding.REFUSAL_SECONDS
        assert max(batches) == load_shedding.MAX_REFUSALS_AT_ONCE
        await asyncio.gather(*map(left, calls))

    run(check)


def test_no_caller_waits_long_for_a_refusal() -> None:
    """However many calls wait, the last one is refused within MAX_REFUSAL_SECONDS."""

    async def check(load: Load) -> None:
        await load.overload()
        load.counts.queued = load_shedding.MAX_QUEUED_CALLS_TO_START
        calls = [load.arrive() for _ in range(2_000)]
        await asyncio.sleep(0)
        load.clock.now += load_shedding.GRACE_SECONDS
        began = load.clock.now
        outcomes = await load.pass_time(calls)
        assert outcomes.count("refused") >= 1_000
        assert load.clock.now - began <= 1.1 * load_shedding.MAX_REFUSAL_SECONDS

    run(check)


def test_a_call_whose_caller_left_never_starts() -> None:
    """A cancelled call neither starts nor counts as running."""

    async def check(load: Load) -> None:
        await load.overload()
        limit = load_shedding.MAX_RUNNING_CALLS
        gone = [load.arrive() for _ in range(limit)]
        await asyncio.sleep(0)
        for call in gone:
            call.cancel()
        await asyncio.wait(gone)
        calls = [load.arrive() for _ in range(limit)]
        assert await asyncio.gather(*map(outcome, calls)) == ["started"] * limit

    run(check)


def test_streams_and_analyses_yield_to_calls() -> None:
    """During overload new streams and analyses are refused, and are admitted when it is over."""

    async def check(load: Load) -> None:
        load.shedder.refuse_low_priority()
        await load.overload()
        with pytest.raises(errors.Overloaded):
            load.shedder.refuse_low_priority()
        load.clock.now += load_shedding.CALM_SECONDS * 1.1
        await asyncio.wait_for(load.shedder.pause(), WAIT_SECONDS)
        load.shedder.refuse_low_priority()
        assert not load.shedder.is_overloaded

    run(check)


def test_calls_that_hang_do_not_stop_the_others() -> None:
    """If all running calls wait for something else than the processor, more calls start."""

    async def check(load: Load) -> None:
        await load.overload()
        for _ in range(3 * load_shedding.MAX_RUNNING_CALLS):
            load.clock.now += load_shedding.STUCK_SECONDS / 3
            assert await outcome(load.arrive()) == "started"

    run(check)


def test_few_callers_that_wait_for_answers_are_no_overload() -> None:
    """Calls that could all be served are not refused for ever after a burst."""

    async def check(load: Load) -> None:
        await load.overload()
        await load.repeat_calls(3 * load_shedding.MAX_RUNNING_CALLS, 2 * load_shedding.CALM_SECONDS)
        assert not load.shedder.is_overloaded

    run(check)


def test_overload_that_comes_back_lasts_longer() -> None:
    """If a server without overload cannot serve the calls, it is not tried as often again."""

    async def check(load: Load) -> None:
        callers, seconds = 3 * load_shedding.MAX_RUNNING_CALLS, 1.1 * load_shedding.CALM_SECONDS
        await load.overload()
        await load.repeat_calls(callers, seconds)
        assert not load.shedder.is_overloaded
        await load.overload()
        await load.repeat_calls(callers, seconds)
        assert load.shedder.is_overloaded
        await load.repeat_calls(callers, seconds)
        assert not load.shedder.is_overloaded

    run(check)
