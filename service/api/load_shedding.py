"""Load shedding: keeps the served calls fast while more calls arrive than can be served.

One event loop runs all calls, and the calls that it has not accepted yet queue inside gRPC, first
in, first out. When that queue takes too long (controlled delay), the shedder takes over: it has the
event loop accept the queued calls before it starts any, starts the newest call of each caller first
(adaptive LIFO), and refuses the calls that have waited too long. It spreads the refusals over a
second, so that callers who repeat a refused call at once do not take the time that serving needs.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from service import errors

# Seconds and calls between two measurements of the queue inside gRPC. One takes 0.1 ms, or 3
# microseconds for each call.
MEASURE_SECONDS = 0.02
MEASURE_CALLS = 32

# A call whose caller leaves at once is counted when it arrives, and may never be accepted. The
# smallest queue within this time consists of such calls.
WINDOW_SECONDS = 1.0

# Fewer queued calls are never overload.
MIN_QUEUED_CALLS = 32

# A queue that takes longer than this for OVERLOADED_AFTER_SECONDS means overload. Callers that call
# one after the other, or a client that makes 200 calls at once, wait less even if the machine is
# slow, and prefer the wait to a refusal. Many more callers make the queue longer than
# MAX_QUEUED_CALLS long before.
MAX_WAIT_SECONDS = 1.0
OVERLOADED_AFTER_SECONDS = 0.1

# A queue of this many calls means overload at once.
MAX_QUEUED_CALLS = 300

# Seconds between two rounds of starting and refusing calls during overload; event loops have timers
# of 1 ms.
ROUND_SECONDS = 0.001

# Seconds between two measurements during overload.
OVERLOAD_MEASURE_SECONDS = 0.004

# During overload, calls start only while fewer calls than this are queued inside gRPC, because the
# start of each one makes all of them wait.
MAX_QUEUED_CALLS_TO_START = 8
STARTS_PER_ROUND = 3

# During overload, no call starts while this many run, or as many as ran when the overload began.
MIN_RUNNING_CALLS = 16

# If none of them ends for this time, they wait for a provider or for their requests, and not for
# the processor: MIN_RUNNING_CALLS more may run, or a hanging provider would stop all other calls.
STUCK_SECONDS = 0.1

# One call starts after this time even if more are queued.
START_SECONDS = 0.01

# During overload, a call that has waited longer than this is refused: newer calls are started
# before it.
MAX_AGE_SECONDS = 0.008

# Calls are refused one for each call that starts, and one at least in this time: callers that
# repeat a refused call at once must not take the time that serving needs.
REFUSAL_SECONDS = 0.005

# Calls that wait during overload; further ones are refused at once, because each holds memory.
MAX_PARKED_CALLS = 5_000

# If no call arrives for SILENCE_SECONDS within MAX_BURST_SECONDS of the begin of an overload, it
# was a burst: the calls that wait are started, the newest first, even if they are older.
SILENCE_SECONDS = 0.005
MAX_BURST_SECONDS = 1.0

# Overload is over after this time without a refusal.
CALM_SECONDS = 2.0

# A stream waits this long at most before it receives its next message during overload.
MAX_PAUSE_SECONDS = 1.0

OVERLOAD_MESSAGE = "more calls arrive than the service can serve"

_LOG = structlog.get_logger()


class CallCounts(Protocol):
    """The calls that arrived at the server, inside gRPC and in the event loop."""

    accepted: int

    def count_arrived(self) -> int:
        """Return the number of calls that arrived since the start, accepted or not."""


class _ParkedCall:
    """A call that waits; `may_start` is done once it may start (True) or is refused (False)."""

    __slots__ = ("may_start", "parked_at")

    def __init__(self, parked_at: float) -> None:
        self.parked_at = parked_at
        self.may_start: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class LoadShedder:
    """Decides when calls start, and which ones are refused.

    Args:
        counts: counts the calls that arrived and those that were accepted.
        clock: monotonic time in seconds.
    """

    def __init__(self, counts: CallCounts, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_overloaded = False
        self._counts = counts
        self._clock = clock
        self._measured_at = clock()
        self._measured_calls = 0
        self._arrived_calls = 0
        self._window_began_at = clock()
        self._least_missing = 0
        self._lost_calls = 0
        self._long_since: float | None = None
        self._parked: deque[_ParkedCall] = deque()
        self._parked_by_caller: OrderedDict[str, list[_ParkedCall]] = OrderedDict()
        self._parked_calls = 0
        self._running_calls = 0
        self._max_running_calls = MIN_RUNNING_CALLS
        self._refused_calls = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._began_at = 0.0
        self._accepted_calls = 0
        self._accepted_at = 0.0
        self._started_at = 0.0
        self._ended_at = 0.0
        self._refused_at = 0.0

    async def start(self, identify_caller: Callable[[], str]) -> None:
        """Let a call start and count it until `end`; during overload, wait for its turn.

        Args:
            identify_caller: returns whose call it is; callers start calls in turns.

        Raises:
            Overloaded: the call has waited too long, or too many calls wait.
        """
        self._observe()
        if self.is_overloaded:
            await self._wait_to_start(identify_caller())
        else:
            self._running_calls += 1

    def end(self) -> None:
        """Count the end of a call that was started."""
        self._running_calls -= 1
        self._ended_at = self._clock()

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
        calls = self._counts.accepted - self._measured_calls
        if calls < MEASURE_CALLS or self.is_overloaded:
            return
        now = self._clock()
        elapsed = now - self._measured_at
        if elapsed < MEASURE_SECONDS:
            return
        queued = self._measure(now)
        is_long = queued >= MIN_QUEUED_CALLS and queued * elapsed / calls >= MAX_WAIT_SECONDS
        if not is_long and queued <= MAX_QUEUED_CALLS:
            self._long_since = None
            return
        if self._long_since is None:
            self._long_since = now
        if queued > MAX_QUEUED_CALLS or now - self._long_since >= OVERLOADED_AFTER_SECONDS:
            self._begin_overload(now, queued)

    def _begin_overload(self, now: float, queued: int) -> None:
        _LOG.warning("overload_began", queued_calls=queued, running_calls=self._running_calls)
        self.is_overloaded = True
        self._calm.clear()
        self._long_since = None
        self._began_at = self._refused_at = self._ended_at = now
        # Calls that wait for the disk or a provider run beside each other in any number.
        self._max_running_calls = max(MIN_RUNNING_CALLS, self._running_calls)
        asyncio.get_running_loop().call_later(ROUND_SECONDS, self._run_round)

    def _end_overload(self) -> None:
        _LOG.warning("overload_ended", refused_calls=self._refused_calls)
        self.is_overloaded = False
        self._calm.set()
        self._refused_calls = 0

    async def _wait_to_start(self, caller: str) -> None:
        if self._parked_calls >= MAX_PARKED_CALLS:
            self._refused_calls += 1
            raise errors.Overloaded("too many calls are waiting")
        call = _ParkedCall(self._clock())
        self._parked.append(call)
        self._parked_by_caller.setdefault(caller, []).append(call)
        self._parked_calls += 1
        try:
            may_start = await call.may_start
        except asyncio.CancelledError:
            if call.may_start.done() and not call.may_start.cancelled():
                self._running_calls -= call.may_start.result()
            raise
        finally:
            self._parked_calls -= 1
        if not may_start:
            raise errors.Overloaded(OVERLOAD_MESSAGE)

    def _measure(self, now: float) -> int:
        """Return the number of calls that are queued inside gRPC."""
        accepted = self._counts.accepted
        missing = self._counts.count_arrived() - accepted
        self._least_missing = min(self._least_missing, missing)
        self._lost_calls = min(self._lost_calls, missing)
        if now - self._window_began_at >= WINDOW_SECONDS:
            self._lost_calls, self._least_missing = self._least_missing, missing
            self._window_began_at = now
        self._arrived_calls = accepted + missing - self._lost_calls
        self._measured_at, self._measured_calls = now, accepted
        return missing - self._lost_calls

    def _run_round(self) -> None:
        """Start and refuse parked calls, and run again until the overload is over."""
        now = self._clock()
        if now - self._measured_at >= OVERLOAD_MEASURE_SECONDS:
            self._measure(now)
        if now - self._ended_at >= STUCK_SECONDS:
            self._max_running_calls = self._running_calls + MIN_RUNNING_CALLS
            self._ended_at = now
        starts = min(STARTS_PER_ROUND, self._max_running_calls - self._running_calls)
        if self._arrived_calls - self._counts.accepted >= MAX_QUEUED_CALLS_TO_START:
            starts = int(now - self._started_at >= START_SECONDS)
        if self._is_burst_over(now):
            while starts > 0 and self._start_any(now):
                starts -= 1
        else:
            while starts > 0 and self._start_newest(now):
                starts -= 1
                self._refuse_oldest(now)
            if starts > 0 or now - self._refused_at >= REFUSAL_SECONDS:
                self._refuse_oldest(now)
        if self._parked or now - self._refused_at < CALM_SECONDS:
            asyncio.get_running_loop().call_later(ROUND_SECONDS, self._run_round)
        else:
            self._end_overload()

    def _is_burst_over(self, now: float) -> bool:
        if self._counts.accepted != self._accepted_calls:
            self._accepted_calls, self._accepted_at = self._counts.accepted, now
        return (
            now - self._accepted_at >= SILENCE_SECONDS and now - self._began_at < MAX_BURST_SECONDS
        )

    def _start_newest(self, now: float) -> bool:
        """Start the newest call of the next caller that has one which is not too old.

        Return whether there was one.
        """
        while self._parked_by_caller:
            caller, calls = self._parked_by_caller.popitem(last=False)
            while calls and calls[-1].may_start.done():
                calls.pop()
            if not calls or now - calls[-1].parked_at > MAX_AGE_SECONDS:
                continue  # the caller has only calls that are too old
            self._start(calls.pop(), now)
            if calls:
                self._parked_by_caller[caller] = calls
            return True
        return False

    def _start_any(self, now: float) -> bool:
        """Start the newest parked call; return whether there was one."""
        while self._parked:
            call = self._parked.pop()
            if not call.may_start.done():
                self._start(call, now)
                return True
        return False

    def _start(self, call: _ParkedCall, now: float) -> None:
        call.may_start.set_result(True)
        self._running_calls += 1
        self._started_at = now

    def _refuse_oldest(self, now: float) -> None:
        """Refuse the oldest parked call if it is too old."""
        while self._parked and self._parked[0].may_start.done():
            self._parked.popleft()
        if self._parked and now - self._parked[0].parked_at > MAX_AGE_SECONDS:
            self._parked.popleft().may_start.set_result(False)
            self._refused_calls += 1
            self._refused_at = now
