"""Load shedding: keeps the served calls fast while more calls arrive than can be served.

One event loop runs all calls, and the calls that it has not accepted yet queue inside gRPC, first
in, first out. When that queue takes too long (controlled delay), the shedder takes over: it has the
event loop accept the queued calls before it starts any, starts the newest call of each caller first
(adaptive LIFO), and refuses the calls that have waited too long. It spreads the refusals over some
seconds, so that callers who repeat a refused call at once do not take the time for serving.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from service import errors
from service.api.parked_calls import ParkedCalls
from service.api.queued_calls import MEASURE_SECONDS, CallCounts, QueuedCalls

# Without overload, the queue is measured at most once in as many accepted calls.
MEASURE_CALLS = 32

# Fewer queued calls are never overload.
MIN_QUEUED_CALLS = 32

# A queue that takes longer than this for OVERLOADED_AFTER_SECONDS means overload. Callers that call
# one after the other, or a client that makes 200 calls at once, wait less even if the machine is
# slow, and prefer the wait to a refusal. Many more callers make the queue longer than
# MAX_QUEUED_CALLS long before.
MAX_WAIT_SECONDS = 1.0
OVERLOADED_AFTER_SECONDS = 0.1

# A queue of this many calls means overload as soon as a probe has confirmed it.
MAX_QUEUED_CALLS = 300

# Seconds between two rounds of starting and refusing calls during overload; event loops have timers
# of 1 ms.
ROUND_SECONDS = 0.001

# During overload, calls start only while fewer calls than this are queued inside gRPC, because the
# start of each one makes all of them wait.
MAX_QUEUED_CALLS_TO_START = 5
STARTS_PER_ROUND = 2

# During overload, no call starts while this many run. More do not serve more, because they share
# one interpreter, and each takes longer: with 16 writes, the p99 was 17 times that of light load.
# Calls that wait for an embedding provider do not count.
MAX_RUNNING_CALLS = 4

# If none of them ends for this time, and the process uses less than IDLE_SHARE of a processor, they
# wait for something else: MAX_RUNNING_CALLS more may run, and one less again after each such time
# without a standstill.
STUCK_SECONDS = 0.1
IDLE_SHARE = 0.5

# One call starts after this time even if more are queued.
START_SECONDS = 0.01

# But as long as MIN_QUEUED_CALLS are queued, they are accepted first, unless it takes longer than
# this: the calls that arrived at the same time as they are older than calls may become.
MAX_CATCH_UP_SECONDS = 0.5

# Calls are refused over some time, so that callers who repeat a refused call at once do not take
# the time that serving needs: one in REFUSAL_SECONDS, or as many as are needed for the last of
# those that wait to be refused within MAX_REFUSAL_SECONDS, because callers do not wait for long.
REFUSAL_SECONDS = 0.005
MAX_REFUSAL_SECONDS = 2.5

# Those that are due within REFUSAL_SECONDS are refused together, but no more than this: they share
# the turns of the event loop. One by one, refusals left time for a third fewer writes.
MAX_REFUSALS_AT_ONCE = 8

# No call is refused while more calls than this are queued inside gRPC: gRPC accepts one call in
# five turns of the event loop, so that repeated calls would queue faster than they are accepted.
MAX_QUEUED_CALLS_TO_REFUSE = 8

# If a call has waited for this time, refusing comes before serving, in spite of the queue.
LATE_REFUSAL_SECONDS = 1.8

# If calls have not waited for longer than MAX_BURST_SECONDS, and at least SILENT_ENDS calls have
# ended or were refused within SILENCE_SECONDS, but no more than MAX_FOLLOWING_SHARE of their number
# arrived, it was a burst: the waiting calls are started, the newest first, even if they are older.
# Callers that wait for answers would have made a new call for each one.
MAX_BURST_SECONDS = 1.0
SILENCE_SECONDS = 0.03
SILENT_ENDS = 3
MAX_FOLLOWING_SHARE = 0.25

# No call is refused before calls have waited for this time, because it can be a burst.
GRACE_SECONDS = 0.1

# Overload is over after this time without a refusal, or if no more than CALM_CALLS calls waited at
# once during this time. As many callers that call one after the other can all be served, but with
# MAX_RUNNING_CALLS at once, some of their calls become too old, and the refusals would never end.
CALM_SECONDS = 2.0
CALM_CALLS = 100

# If overload begins again within this time after its end, the server could not serve all calls. No
# more than CALM_CALLS calls then have to wait for twice as long as before, up to MAX_CALM_SECONDS.
REPEAT_SECONDS = 10.0
MAX_CALM_SECONDS = 60.0

# A stream waits this long at most before it receives its next message during overload.
MAX_PAUSE_SECONDS = 1.0

OVERLOAD_MESSAGE = "more calls arrive than the service can serve"

_LOG = structlog.get_logger()


class LoadShedder:
    """Decides when calls start, and which ones are refused.

    Args:
        counts: counts the calls that arrived and those that were accepted.
        clock: monotonic time in seconds.
    """

    def __init__(self, counts: CallCounts, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_overloaded = False
        self._unqueued_calls = 0
        self._counts = counts
        self._clock = clock
        self._queue = QueuedCalls(counts, clock())
        self._long_since: float | None = None
        self._parked = ParkedCalls()
        self._running_calls = 0
        self._max_running_calls = MAX_RUNNING_CALLS
        self._ended_calls = 0
        self._refused_calls = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._calm_seconds = CALM_SECONDS
        self._many_waited_at = 0.0
        self._overload_ended_at = -REPEAT_SECONDS
        self._crowded_since = 0.0
        self._silent_since = 0.0
        self._accepted_before_silence = 0
        self._ended_before_silence = 0
        self._is_burst_over = False
        self._started_at = 0.0
        self._caught_up_at = 0.0
        self._ended_at = 0.0
        self._adjusted_at = 0.0
        self._processor_seconds = 0.0
        self._refused_at = 0.0
        self._refusing_at = 0.0
        self._next_refusal_at = 0.0

    async def start(
        self, identify_caller: Callable[[], str], remaining_seconds: float | None = None
    ) -> None:
        """Let a call start and count it until `end`; during overload, wait for its turn.

        Args:
            identify_caller: returns whose call it is; callers start calls in turns.
            remaining_seconds: the time until the deadline of the call, None if it has none.

        Raises:
            Overloaded: the call has waited too long.
        """
        self._observe()
        if self.is_overloaded:
            await self._wait_to_start(identify_caller(), remaining_seconds)
        else:
            self._running_calls += 1

    def end(self) -> None:
        """Count the end of a call that was started."""
        self._running_calls -= 1
        self._ended_calls += 1
        self._ended_at = self._clock()

    @contextmanager
    def suspend(self) -> Iterator[None]:
        """Do not count a call that was started inside: it waits for another service."""
        self._running_calls -= 1
        try:
            yield
        finally:
            self._running_calls += 1

    @contextmanager
    def count_unqueued(self) -> Iterator[None]:
        """Count a call in progress that did not come through the queue inside gRPC.

        The event loop accepts such calls at once, so that they all queue in it. More of them than
        MAX_QUEUED_CALLS mean overload.
        """
        self._unqueued_calls += 1
        if self._unqueued_calls > MAX_QUEUED_CALLS and not self.is_overloaded:
            self._begin_overload(self._clock(), self._unqueued_calls)
        try:
            yield
        finally:
            self._unqueued_calls -= 1

    def refuse_low_priority(self) -> None:
        """Refuse a stream or an analysis during overload, so that calls yield to no work of theirs.

        Raises:
            Overloaded: there is overload.
        """
        self._observe()
        if self.is_overloaded:
            raise errors.Overloaded(OVERLOAD_MESSAGE)

    async def pause(self) -> None:
        """Wait until the overload is over, but not for long; for the messages of a stream."""
        if self.is_overloaded:
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_PAUSE_SECONDS):
                    await self._calm.wait()

    def _observe(self) -> None:
        """Measure the queue inside gRPC if it is time to."""
        calls = self._counts.accepted - self._queue.measured_accepted
        if calls < MEASURE_CALLS or self.is_overloaded:
            return
        now = self._clock()
        elapsed = now - self._queue.measured_at
        if elapsed < MEASURE_SECONDS:
            return
        queued = self._queue.measure(now)
        is_long = queued >= MIN_QUEUED_CALLS and queued * elapsed / calls >= MAX_WAIT_SECONDS
        is_full = queued > MAX_QUEUED_CALLS and self._queue.is_probed
        if not is_long and not is_full:
            self._long_since = None
            return
        if self._long_since is None:
            self._long_since = now
        if is_full or now - self._long_since >= OVERLOADED_AFTER_SECONDS:
            self._begin_overload(now, queued)

    def _begin_overload(self, now: float, queued: int) -> None:
        _LOG.warning("overload_began", queued_calls=queued, running_calls=self._running_calls)
        self.is_overloaded = True
        self._calm.clear()
        self._long_since = None
        is_repeated = now - self._overload_ended_at < REPEAT_SECONDS
        calm_seconds = 2 * self._calm_seconds if is_repeated else CALM_SECONDS
        self._calm_seconds = min(calm_seconds, MAX_CALM_SECONDS)
        self._crowded_since = self._refused_at = self._ended_at = self._adjusted_at = now
        self._many_waited_at = self._caught_up_at = now
        self._max_running_calls = MAX_RUNNING_CALLS
        self._processor_seconds = time.process_time()
        self._is_burst_over = False
        self._begin_silence(now)
        asyncio.get_running_loop().call_later(ROUND_SECONDS, self._run_round)

    def _end_overload(self, now: float) -> None:
        _LOG.warning("overload_ended", refused_calls=self._refused_calls)
        self.is_overloaded = False
        self._overload_ended_at = now
        self._parked.start_all()
        self._calm.set()
        self._refused_calls = 0

    async def _wait_to_start(self, caller: str, remaining_seconds: float | None) -> None:
        if not await self._parked.wait(caller, self._clock(), remaining_seconds):
            self._refused_calls += 1
            self._refused_at = self._clock()
            raise errors.Overloaded(OVERLOAD_MESSAGE)
        self._running_calls += 1

    def _run_round(self) -> None:
        """Start and refuse parked calls, and run again until the overload is over."""
        now = self._clock()
        queued = self._queue.estimate(now)
        self._adjust_max_running_calls(now)
        if not self._parked.count:
            self._crowded_since = now
        self._observe_silence(now)
        if self._is_burst_over and self._is_stuck(now):
            self._is_burst_over = False
        starts = self._count_starts(now, queued)
        while starts > 0 and self._start_next(now):
            starts, self._started_at = starts - 1, now
        if not self._is_burst_over:
            self._refuse_oldest(now, queued)
        if self._is_calm(now, queued):
            self._end_overload(now)
        else:
            asyncio.get_running_loop().call_later(ROUND_SECONDS, self._run_round)

    def _count_starts(self, now: float, queued: float) -> int:
        """Return how many calls may start in this round."""
        if queued < MIN_QUEUED_CALLS:
            self._caught_up_at = now
        elif now - self._caught_up_at < MAX_CATCH_UP_SECONDS:
            return 0
        is_late = self._is_late(now) and not self._is_burst_over
        if queued >= MAX_QUEUED_CALLS_TO_START or is_late:
            return int(now - self._started_at >= START_SECONDS)
        return min(STARTS_PER_ROUND, self._max_running_calls - self._running_calls)

    def _is_stuck(self, now: float) -> bool:
        """Return whether a call waits for too long, and none was started for a while."""
        is_overdue = self._parked.find_longest_wait(now) >= MAX_REFUSAL_SECONDS
        return is_overdue and now - self._started_at >= STUCK_SECONDS

    def _is_late(self, now: float) -> bool:
        return self._parked.find_longest_wait(now) >= LATE_REFUSAL_SECONDS

    def _start_next(self, now: float) -> bool:
        if self._is_burst_over:
            return self._parked.start_any()
        return self._parked.start_newest(now)

    def _is_calm(self, now: float, queued: float) -> bool:
        if self._parked.count + queued > CALM_CALLS:
            self._many_waited_at = now
        is_quiet = not self._parked.count and now - self._refused_at >= CALM_SECONDS
        return is_quiet or now - self._many_waited_at >= self._calm_seconds

    def _adjust_max_running_calls(self, now: float) -> None:
        seconds = now - self._adjusted_at
        if seconds < STUCK_SECONDS:
            return
        processor_seconds = time.process_time()
        is_idle = processor_seconds - self._processor_seconds < IDLE_SHARE * seconds
        if is_idle and now - self._ended_at >= STUCK_SECONDS:
            self._max_running_calls = self._running_calls + MAX_RUNNING_CALLS
        else:
            self._max_running_calls = max(MAX_RUNNING_CALLS, self._max_running_calls - 1)
        self._adjusted_at, self._processor_seconds = now, processor_seconds

    def _observe_silence(self, now: float) -> None:
        arrived = self._counts.accepted - self._accepted_before_silence
        ended = self._ended_calls + self._refused_calls - self._ended_before_silence
        max_arrived = MAX_FOLLOWING_SHARE * ended
        if arrived > 1 + max_arrived:
            self._is_burst_over = False
            self._begin_silence(now)
        elif ended >= SILENT_ENDS and now - self._silent_since >= SILENCE_SECONDS:
            is_new = now - self._crowded_since < MAX_BURST_SECONDS
            self._is_burst_over = arrived <= max_arrived and (self._is_burst_over or is_new)
            self._begin_silence(now)

    def _begin_silence(self, now: float) -> None:
        self._silent_since = now
        self._accepted_before_silence = self._counts.accepted
        self._ended_before_silence = self._ended_calls + self._refused_calls

    def _refuse_oldest(self, now: float, queued: float) -> None:
        """Refuse the oldest parked calls that are due, and all that have waited for too long."""
        if now - self._refusing_at < REFUSAL_SECONDS:
            return
        if queued > MAX_QUEUED_CALLS_TO_REFUSE and not self._is_late(now):
            return
        self._next_refusal_at = max(
            self._next_refusal_at,
            now - REFUSAL_SECONDS + ROUND_SECONDS,
            self._crowded_since + GRACE_SECONDS,
        )
        refusals = 0
        while self._next_refusal_at <= now and self._parked.refuse_oldest(now):
            refusals += 1
            remaining = MAX_REFUSAL_SECONDS - self._parked.find_longest_wait(now)
            pause = max(remaining, ROUND_SECONDS) / max(self._parked.count - refusals, 1)
            self._next_refusal_at += min(REFUSAL_SECONDS, pause)
            if refusals >= MAX_REFUSALS_AT_ONCE and remaining > 0:
                break
        if refusals:
            self._refusing_at = now
