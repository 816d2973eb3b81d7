"""Estimates how many calls are queued inside gRPC: they have arrived, but are not accepted yet."""

from __future__ import annotations

from collections import deque
from typing import Protocol

# Seconds between two measurements during overload. One takes 0.3 ms, and 1 ms on a busy machine.
MEASURE_SECONDS = 0.02

# Arrivals within a shorter time say nothing of their rate.
SHORTEST_SECONDS = 0.005

# Seconds between two probes, which are sent while at least MIN_PROBED_CALLS are missing. A probe
# takes about 1 ms.
PROBE_SECONDS = 0.05
MIN_PROBED_CALLS = 5

# Calls arrive between a measurement and its probe, so that each probe shows a few lost calls less
# than there are. The largest number of as many probes counts.
REMEMBERED_PROBES = 16

# Without probes, the smallest queue within this time consists of lost calls.
WINDOW_SECONDS = 1.0


class CallCounts(Protocol):
    """The calls that arrived at the server, inside gRPC and in the event loop."""

    accepted: int

    @property
    def accepted_before_probe(self) -> int | None:
        """The number of calls that were accepted before the last probe, None while it is queued."""

    @property
    def can_probe(self) -> bool:
        """Whether probes reach the server."""

    def count_arrived(self) -> int:
        """Return the number of calls that arrived since the start, accepted or not."""

    def send_probe(self) -> None:
        """Send a call of the server to itself, which is queued behind all that have arrived."""


class QueuedCalls:
    """Measures the queue from time to time, and estimates its length in between.

    Some calls are lost: gRPC counts malformed requests when they arrive, and never lets the event
    loop accept them. All calls that arrived before a probe and are not accepted before it are lost,
    because the queue is first in, first out.

    `measured_at` and `measured_accepted` are the time of the last measurement and how many calls
    were accepted until then. `is_probed` tells whether a probe from before the last measurement is
    still queued, so that not all of the queue can be lost calls; without probes it is always true.
    All times are of one clock, in seconds.
    """

    def __init__(self, counts: CallCounts, now: float) -> None:
        self.measured_at = now
        self.measured_accepted = 0
        self.is_probed = False
        self._counts = counts
        self._arrived = 0
        self._arrivals_per_second = 0.0
        self._lost_calls: deque[int] = deque(maxlen=REMEMBERED_PROBES)
        self._arrived_before_probe: int | None = None
        self._probed_at = now - PROBE_SECONDS
        self._window_began_at = now
        self._least_missing = 0

    def measure(self, now: float) -> int:
        """Return the length of the queue."""
        self._observe_probe()
        self.is_probed = self._arrived_before_probe is not None or not self._counts.can_probe
        accepted = self._counts.accepted
        arrived = self._counts.count_arrived()
        seconds = max(now - self.measured_at, SHORTEST_SECONDS)
        self._arrivals_per_second = (arrived - self._arrived) / seconds
        self._arrived = arrived
        self.measured_at, self.measured_accepted = now, accepted
        self._observe_missing(now, arrived - accepted)
        queued = max(arrived - self._count_lost() - accepted, 0)
        if queued >= MIN_PROBED_CALLS:
            self._probe(now)
        return queued

    def estimate(self, now: float) -> float:
        """Return the length of the queue, which is measured every MEASURE_SECONDS."""
        if now - self.measured_at >= MEASURE_SECONDS:
            return self.measure(now)
        arrived = self._arrived + self._arrivals_per_second * (now - self.measured_at)
        return max(arrived - self._count_lost() - self._counts.accepted, 0.0)

    def _count_lost(self) -> int:
        return max(self._lost_calls, default=0)

    def _probe(self, now: float) -> None:
        is_due = now - self._probed_at >= PROBE_SECONDS and self._counts.can_probe
        if self._arrived_before_probe is None and is_due:
            self._arrived_before_probe, self._probed_at = self._arrived, now
            self._counts.send_probe()

    def _observe_probe(self) -> None:
        arrived, accepted = self._arrived_before_probe, self._counts.accepted_before_probe
        if arrived is not None and accepted is not None:
            self._lost_calls.append(max(arrived - accepted, 0))
            self._arrived_before_probe = None
        elif not self._counts.can_probe:
            self._arrived_before_probe = None

    def _observe_missing(self, now: float, missing: int) -> None:
        """Count no more lost calls than are missing, and learn them without probes."""
        if missing < self._count_lost():
            # A call whose headers were incomplete for a while was no lost one.
            self._lost_calls = deque((min(n, missing) for n in self._lost_calls), REMEMBERED_PROBES)
        self._least_missing = min(self._least_missing, missing)
        if now - self._window_began_at >= WINDOW_SECONDS:
            if not self._counts.can_probe:
                self._lost_calls.append(self._least_missing)
            self._window_began_at, self._least_missing = now, missing
