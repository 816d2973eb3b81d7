"""Estimates how many calls are queued inside gRPC: they have arrived, but are not accepted yet."""

from __future__ import annotations

from typing import Protocol

# A call whose caller leaves at once is counted when it arrives, and may never be accepted. Without
# overload, the smallest queue within this time consists of such lost calls.
WINDOW_SECONDS = 1.0

# During overload a queue can last, so that its smallest length says nothing. A queue from which no
# call was accepted for this many rounds consists of lost calls: an accepted one takes five turns of
# the event loop (grpc.aio 1.85), and each round is at least one.
SILENT_ROUNDS = 6

# Seconds between two measurements during overload. One takes 0.3 ms, and 1 ms on a busy machine.
MEASURE_SECONDS = 0.02

# Arrivals within a shorter time say nothing of their rate.
SHORTEST_SECONDS = 0.005


class CallCounts(Protocol):
    """The calls that arrived at the server, inside gRPC and in the event loop."""

    accepted: int

    def count_arrived(self) -> int:
        """Return the number of calls that arrived since the start, accepted or not."""


class QueuedCalls:
    """Measures the queue from time to time, and estimates its length in between.

    `measured_at` and `measured_accepted` are the time of the last measurement and how many calls
    were accepted until then. All times are of one clock, in seconds.
    """

    def __init__(self, counts: CallCounts, now: float) -> None:
        self.measured_at = now
        self.measured_accepted = 0
        self._counts = counts
        self._arrived = 0
        self._arrivals_per_second = 0.0
        self._lost_calls = 0
        self._window_began_at = now
        self._least_missing = 0
        self._accepted_before_round = 0
        self._silent_rounds = 0

    def measure(self, now: float) -> int:
        """Return the length of the queue while there is no overload."""
        missing = self._count_missing(now)
        self._least_missing = min(self._least_missing, missing)
        if now - self._window_began_at >= WINDOW_SECONDS:
            self._lost_calls = self._least_missing
            self._begin_window(now, missing)
        return missing - self._lost_calls

    def estimate(self, now: float) -> float:
        """Return the length of the queue in this round of an overload; call once in each round."""
        accepted = self._counts.accepted
        if accepted != self._accepted_before_round:
            self._accepted_before_round, self._silent_rounds = accepted, 0
        self._silent_rounds += 1
        is_silent = self._silent_rounds == SILENT_ROUNDS
        if is_silent or now - self.measured_at >= MEASURE_SECONDS:
            missing = self._count_missing(now)
            if is_silent:
                self._lost_calls = missing
            self._begin_window(now, missing)
        arrived = self._arrived + self._arrivals_per_second * (now - self.measured_at)
        return max(arrived - self._lost_calls - accepted, 0.0)

    def _count_missing(self, now: float) -> int:
        accepted = self._counts.accepted
        arrived = self._counts.count_arrived()
        seconds = max(now - self.measured_at, SHORTEST_SECONDS)
        self._arrivals_per_second = (arrived - self._arrived) / seconds
        self._arrived = arrived
        self._lost_calls = min(self._lost_calls, arrived - accepted)
        self.measured_at, self.measured_accepted = now, accepted
        return arrived - accepted

    def _begin_window(self, now: float, missing: int) -> None:
        self._window_began_at, self._least_missing = now, missing
