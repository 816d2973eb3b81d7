"""Logs outages of the database: why they began, and when they have ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

import psycopg
import structlog

from service import errors
from service.storage.postgres.postgres_errors import describe_error
from service.storage.write_queue import Job
from service.storage.writer import WriteSession

# The same reason is logged again only after this time, so that what fails and works by turns does
# not fill the log.
REASON_REPEAT_SECONDS = 60.0

# An outage can change its reason, as from a refused connection to a wrong password. More than this
# number of reasons are not logged.
REASONS_PER_OUTAGE = 5


class StorePart(Enum):
    """What uses the database with connections of its own."""

    READS = auto()
    WRITES = auto()
    NOTIFICATIONS = auto()


class OutageLog:
    """Logs `store_unavailable` when the first part fails, and `store_available` when none does.

    Any thread may use it.

    Args:
        clock: returns a time in seconds that only grows.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: set[StorePart] = set()
        self._reasons: set[str] = set()
        self._log_times: dict[str, float] = {}

    def report_failure(self, part: StorePart, exc: BaseException | None) -> None:
        """Take note of an error, of which only the message is logged.

        Args:
            part: what failed.
            exc: the cause of the failure; anything but an error of PostgreSQL is none.
        """
        if not isinstance(exc, psycopg.Error):
            return
        reason, now = describe_error(exc), self._clock()
        with self._lock:
            self._failing.add(part)
            self._log_times = {
                former: logged
                for former, logged in self._log_times.items()
                if now - logged < REASON_REPEAT_SECONDS
            }
            is_known = reason in self._reasons or len(self._reasons) >= REASONS_PER_OUTAGE
            if is_known or reason in self._log_times:
                return
            self._reasons.add(reason)
            self._log_times[reason] = now
        structlog.get_logger().warning("store_unavailable", reason=reason)

    def report_success(self, part: StorePart) -> None:
        """Take note that a part works."""
        if part not in self._failing:
            return
        with self._lock:
            self._failing.discard(part)
            has_ended = not self._failing and bool(self._reasons)
            if has_ended:
                self._reasons.clear()
        if has_ended:
            structlog.get_logger().info("store_available")


class WatchedSession:
    """Takes note of the failures of a session that writes: see WriteSession.

    Args:
        session: the session.
        outages: where they are noted.
    """

    def __init__(self, session: WriteSession, outages: OutageLog) -> None:
        self._session = session
        self._outages = outages

    @property
    def previous_sequence(self) -> int:
        """The sequence number of the last write before the latest transaction."""
        return self._session.previous_sequence

    def commit(self, jobs: Sequence[Job]) -> tuple[int | None, Sequence[Any]]:
        """Run jobs in one transaction; see WriteSession."""
        try:
            sequence, outcomes = self._session.commit(jobs)
        except errors.AkinError as exc:
            self._outages.report_failure(StorePart.WRITES, exc.__cause__)
            raise
        failures = [
            outcome.__cause__
            for outcome in outcomes
            if isinstance(outcome, errors.AkinError)
            and isinstance(outcome.__cause__, psycopg.Error)
        ]
        if failures:
            self._outages.report_failure(StorePart.WRITES, failures[0])
        else:
            self._outages.report_success(StorePart.WRITES)
        return sequence, outcomes

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
