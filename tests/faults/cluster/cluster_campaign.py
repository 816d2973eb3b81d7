"""Runs a cluster through events, and measures for how long calls did not go on."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from support.postgres_cluster import PostgresCluster

from faults.cluster.cluster_session import ClusterSession
from faults.cluster.events import EVENTS, Event
from faults.cluster.payments import PaymentProvider, PaymentReport
from faults.cluster.probes import (
    Probe,
    find_longest_gap,
    recommend_by_item,
    recommend_by_text,
    upsert,
)
from faults.model import Violation
from faults.scenarios import BrokenPromise

# States that writers write before each event.
STATES_BEFORE = (60, 150)


@dataclass(frozen=True, slots=True)
class EventReport:
    """One event, and the longest times without a success during it, in seconds.

    Attributes:
        kind: its name.
        absence: without a primary of the database.
        writes: without a write on any replica.
        replica_writes: without a write on one living replica.
        item_reads, text_reads: without a recommendation by item or text on one living replica.
    """

    kind: str
    absence: float
    writes: float
    replica_writes: float
    item_reads: float
    text_reads: float


@dataclass
class ClusterReport:
    """What a campaign did and found."""

    events: list[EventReport] = field(default_factory=list)
    acknowledged: int = 0
    compared: int = 0
    calls: int = 0
    violations: list[Violation] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    unexpected: dict[str, int] = field(default_factory=dict)
    failed_reads: list[str] = field(default_factory=list)
    payments: PaymentReport = field(default_factory=lambda: PaymentReport(0, 0, 0, ()))

    def count(self, kind: str) -> int:
        """Return the number of violations of a kind."""
        return sum(violation.kind == kind for violation in self.violations)

    @property
    def is_good(self) -> bool:
        """Whether every promise was held."""
        problems = (self.violations, self.unexpected, self.failed_reads, self.payments.doubled)
        return bool(self.events) and not any(problems)


class Probes:
    """The probes of all replicas, a context manager by its stack."""

    def __init__(self, session: ClusterSession, stack: ExitStack) -> None:
        def start(call: Callable[..., object]) -> Sequence[Probe]:
            return [
                stack.enter_context(Probe(replica, call, session.calls))
                for replica in session.replicas
            ]

        self._writes = start(upsert)
        self._item_reads = start(recommend_by_item)
        self._text_reads = start(recommend_by_text)

    def report(self, kind: str, absence: float, begin: float, end: float) -> EventReport:
        """Return the longest times without a success during an event."""
        successes = [life for probe in self._writes for life in probe.successes]
        return EventReport(
            kind,
            absence,
            find_longest_gap(itertools.chain(*successes), begin, end),
            _find_longest_gap_of_any(self._writes, begin, end),
            _find_longest_gap_of_any(self._item_reads, begin, end),
            _find_longest_gap_of_any(self._text_reads, begin, end),
        )

    def list_failed_reads(self) -> list[str]:
        """Return the errors of reads on living replicas."""
        probes = [*self._item_reads, *self._text_reads]
        return [error for probe in probes for _, error in probe.failures]


def run_campaign(
    seed: str,
    folder: Path,
    has_time: Callable[[], bool],
    show: Callable[[EventReport], None],
    events: Mapping[str, Event] = EVENTS,
) -> ClusterReport:
    """Run events one after another as long as there is time, and check everything after each.

    Args:
        seed: of what writers do and of what happens.
        folder: an empty folder for data and logs.
        has_time: whether another event may begin.
        show: is called after each event.
        events: by their kinds, in the order in which they happen.

    Raises:
        BrokenPromise: a state is not as it must be.
    """
    report = ClusterReport()
    rng = random.Random(seed)
    with PostgresCluster() as cluster, PaymentProvider() as provider, ExitStack() as stack:
        session = ClusterSession(folder, seed, cluster.address, provider)
        stack.callback(session.close)
        probes = Probes(session, stack)
        for kind, event in itertools.cycle(events.items()):
            if not has_time():
                break
            begin = time.monotonic()
            states = rng.randint(*STATES_BEFORE)
            cluster.absences.clear()
            session.run_round(states, partial(event, session, cluster, rng))
            absence = max(cluster.absences, default=0.0)
            report.events.append(probes.report(kind, absence, begin, time.monotonic()))
            show(report.events[-1])
            report.violations += session.verify()
            if report.violations:
                raise BrokenPromise(report.violations, session.recorder)
        _complete(report, session, probes, provider)
    return report


def _complete(
    report: ClusterReport, session: ClusterSession, probes: Probes, provider: PaymentProvider
) -> None:
    report.acknowledged = session.recorder.acknowledged_count
    report.compared = session.verified_states
    report.calls = session.calls.successes
    report.failures = dict(session.calls.failures)
    report.unexpected = dict(session.calls.unexpected)
    report.failed_reads = probes.list_failed_reads()
    kill_times: dict[str, float] = {}
    for replica in session.replicas:
        kill_times |= replica.kill_times
    report.payments = provider.report(kill_times)


def _find_longest_gap_of_any(probes: Sequence[Probe], begin: float, end: float) -> float:
    return max(probe.find_longest_gap(begin, end) for probe in probes)
