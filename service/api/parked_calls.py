"""The calls that wait during overload: the newest start first, and the oldest are refused."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque

# A call that has waited longer than this does not start: newer calls start before it.
MAX_AGE_SECONDS = 0.005

# The same for a caller with less than half as many waiting calls as callers have on average. It has
# no newer ones, and its turn can take longer than MAX_AGE_SECONDS to come on a slow machine.
MAX_TURN_SECONDS = 0.1

# A waiting call is refused this long before its deadline, or after half of the remaining time if
# that is later, because its caller does not get a refusal that comes at the deadline. With 0.25 s,
# a third fewer calls with a deadline of 1 s were served: the earlier their callers repeat them, the
# more calls there are.
SECONDS_BEFORE_DEADLINE = 0.05


class _ParkedCall:
    """A call that waits; `may_start` is done once it may start (True) or is refused (False)."""

    __slots__ = ("may_start", "parked_at")

    def __init__(self, parked_at: float) -> None:
        self.parked_at = parked_at
        self.may_start: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def refuse(self) -> None:
        """Refuse the call unless it is decided."""
        if not self.may_start.done():
            self.may_start.set_result(False)


class ParkedCalls:
    """The calls that wait until they may start; callers start calls in turns.

    `count` is how many wait. All times are of one clock, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self._calls: deque[_ParkedCall] = deque()
        self._calls_by_caller: OrderedDict[str, list[_ParkedCall]] = OrderedDict()
        self._counts_by_caller: Counter[str] = Counter()

    async def wait(self, caller: str, now: float, remaining_seconds: float | None = None) -> bool:
        """Return whether the call of this task may start, once it is decided.

        Args:
            caller: whose call it is.
            now: the time.
            remaining_seconds: the time until the deadline of the call, None if it has none.
        """
        call = _ParkedCall(now)
        timer = None
        if remaining_seconds is not None:
            seconds = max(remaining_seconds - SECONDS_BEFORE_DEADLINE, remaining_seconds / 2)
            timer = asyncio.get_running_loop().call_later(seconds, call.refuse)
        self._calls.append(call)
        self._calls_by_caller.setdefault(caller, []).append(call)
        self.count += 1
        self._counts_by_caller[caller] += 1
        try:
            return await call.may_start
        finally:
            if timer is not None:
                timer.cancel()
            self.count -= 1
            self._counts_by_caller[caller] -= 1
            if not self._counts_by_caller[caller]:
                del self._counts_by_caller[caller]

    def start_newest(self, now: float) -> bool:
        """Start the newest call of the next caller that has one which is not too old.

        Return whether there was one.
        """
        while self._calls_by_caller:
            caller, calls = self._calls_by_caller.popitem(last=False)
            while calls and calls[-1].may_start.done():
                calls.pop()
            if not calls or now - calls[-1].parked_at > self._find_max_age(caller):
                continue  # the caller has only calls that are too old
            calls.pop().may_start.set_result(True)
            if calls:
                self._calls_by_caller[caller] = calls
            return True
        return False

    def start_any(self) -> bool:
        """Start the newest call, however old it is; return whether there was one."""
        while self._calls:
            call = self._calls.pop()
            if not call.may_start.done():
                call.may_start.set_result(True)
                return True
        return False

    def start_all(self) -> None:
        """Start all calls, however old they are."""
        while self.start_any():
            pass
        self._calls_by_caller.clear()

    def refuse_oldest(self, now: float) -> bool:
        """Refuse the oldest call if it is too old to start; return whether it was."""
        if self.find_longest_wait(now) <= MAX_AGE_SECONDS:
            return False
        self._calls.popleft().may_start.set_result(False)
        return True

    def find_longest_wait(self, now: float) -> float:
        """Return for how many seconds the oldest call has waited, 0 if there is none."""
        while self._calls and self._calls[0].may_start.done():
            self._calls.popleft()
        return now - self._calls[0].parked_at if self._calls else 0.0

    def _find_max_age(self, caller: str) -> float:
        average = self.count / max(len(self._counts_by_caller), 1)
        is_modest = self._counts_by_caller[caller] < average / 2
        return MAX_TURN_SECONDS if is_modest else MAX_AGE_SECONDS
