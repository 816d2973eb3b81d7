"""Writes to PostgreSQL: one total order of all writes, whichever process they come from.

Each transaction takes one lock first and holds it to its end. So transactions become visible in the
order of their sequence numbers, and no follower can miss one. A sequence object of PostgreSQL would
give the numbers of a transaction before those of an earlier commit. A row that each transaction
locks and updates would order them as well, but slows down: see commit_history.py.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import stamina
import structlog
from psycopg.conninfo import make_conninfo
from psycopg.errors import Diagnostic, ReadOnlySqlTransaction

from service.domain.generations import LiveGeneration
from service.storage.postgres.clock_comparison import ClockComparison
from service.storage.postgres.commit_history import LOCK_WRITES, CommitMark
from service.storage.postgres.job_attempts import Spoiled, attempt, attempt_in_savepoint
from service.storage.postgres.postgres_connections import (
    ADAPTERS,
    PostgresConnection,
    configure,
)
from service.storage.postgres.postgres_errors import (
    make_unavailable_error,
    translate_error,
    translate_postgres_errors,
)
from service.storage.postgres.watchdog import (
    ANSWER_SECONDS,
    PATIENCE_SECONDS,
    Watch,
    Watchdog,
    limit_time,
)
from service.storage.write_queue import Job
from service.storage.writer import Transaction

# The channel of the notifications of commits, with the last sequence number as payload.
CHANNEL = "akin"

# Time in which a connection must come back that failed during a commit, so that the outcome is
# known. A standby is promoted in a few seconds. All writes of the process wait for that, and the
# default deadline of clients is 10 s.
RESOLVE_SECONDS = 8.0

# The least time that libpq gives each host to accept a connection.
_CONNECT_SECONDS = 2

# The writer finds rows by their keys, and planning takes longer than its statements. A plan that
# PostgreSQL makes while a table is small stays in use while the table grows, so it uses keys too.
# A warning tells that no standby has confirmed a commit.
_WRITER_SETTINGS = """
    SET client_min_messages = warning;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
"""

# Statements that come after the lock see what the transactions before have written.
_BEGIN = f"""
    BEGIN;
    {LOCK_WRITES};
    SELECT (SELECT sequence FROM commits ORDER BY sequence DESC LIMIT 1),
        CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT),
        (SELECT value FROM counters WHERE name = 'catalogs');
"""


class _UnconfirmedCommitError(psycopg.OperationalError):
    """A commit did not wait until a standby had it."""


class PostgresSession:
    """Runs groups of operations, each group in one transaction: see WriteSession.

    Others can use its `watchdog` until it is closed.

    Args:
        address: of the server; complete.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
        lease_clock_ns: the clock of leases and retention; None for that of the server, which all
            replicas share.
        resolve_seconds: see RESOLVE_SECONDS.
        patience_seconds: how long a transaction goes on before the server is asked about it.
    """

    def __init__(
        self,
        address: str,
        clock_ns: Callable[[], int],
        lease_clock_ns: Callable[[], int] | None = None,
        *,
        resolve_seconds: float = RESOLVE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._address = address
        self._resolve_seconds = resolve_seconds
        self.watchdog = Watchdog(address, patience_seconds)
        self._clock_ns = clock_ns
        self._lease_clock_ns = lease_clock_ns
        self._clocks = ClockComparison()
        self._last_sequence = 0
        self._server_time_us = 0
        self._connection: psycopg.Connection[Any] | None = None
        self._watch: Watch | None = None
        # The warnings of the present commit.
        self._warnings: list[str] = []
        # The number of changes of generations so far, and those that were read since the last one.
        self._catalogs_version = -1
        self._live_generations: dict[int, Sequence[LiveGeneration]] = {}

    @property
    def previous_sequence(self) -> int:
        """The sequence number of the last write before the latest transaction."""
        return self._last_sequence

    def commit(self, jobs: Sequence[Job]) -> tuple[int | None, Sequence[Any]]:
        """Run jobs in one transaction; see WriteSession."""
        with translate_postgres_errors():
            try:
                outcomes = self._run(jobs, in_savepoints=False)
                if outcomes is None:
                    outcomes = self._run(jobs, in_savepoints=True)
            except BaseException:
                self._disconnect()
                raise
            finally:
                self._end_watch()
        assert outcomes is not None  # noqa: S101  (savepoints need no second attempt)
        return outcomes

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()
        self.watchdog.close()

    def _run(
        self, jobs: Sequence[Job], *, in_savepoints: bool
    ) -> tuple[int | None, Sequence[Any]] | None:
        """Run jobs in one transaction.

        Savepoints cost two round trips for each job, and hardly any job fails.

        Returns:
            The last sequence number and the outcomes; None if a job failed that has written
            without a savepoint, so that nothing was stored and all have to run in savepoints.
        """
        transaction = self._begin()
        statements = transaction.connection
        assert isinstance(statements, PostgresConnection)  # noqa: S101  (made by _begin)
        connection = statements.connection
        run = attempt_in_savepoint if in_savepoints else attempt
        outcomes: list[Any] = []
        for job in jobs:
            if job.needs_caller and job.future.cancelled():
                outcomes.append(None)
                continue
            outcome = run(job, transaction, statements)
            if isinstance(outcome, Spoiled):
                connection.execute("ROLLBACK")
                return (None, [outcome.error]) if len(jobs) == 1 else None
            outcomes.append(outcome)
        try:
            statements.flush()
        except Exception as exc:
            if connection.closed:
                raise
            connection.execute("ROLLBACK")
            return (None, [translate_error(exc)]) if len(jobs) == 1 else None
        if not statements.written_rows:
            connection.execute("ROLLBACK")
            return None, outcomes
        sequence = transaction.next_sequence() - 1
        self._end(connection, sequence, is_numbered=sequence != self._last_sequence)
        return sequence, outcomes

    def _connect(self, address: str, seconds: float = ANSWER_SECONDS) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._disconnect()
            self._connection = psycopg.connect(address, autocommit=True, context=ADAPTERS)
            self._connection.add_notice_handler(self._note)
            with limit_time(self._connection, seconds):
                configure(self._connection)
                self._connection.execute(_WRITER_SETTINGS)
        return self._connection

    def _disconnect(self) -> None:
        self._end_watch()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._catalogs_version = -1  # another server may have other generations

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _note(self, notice: Diagnostic) -> None:
        """Take note of a warning, whose SQLSTATE is of class 01."""
        if (notice.sqlstate or "").startswith("01"):
            self._warnings.append(notice.message_primary or "")

    def _begin(self) -> Transaction:
        """Begin a transaction, once all earlier ones have ended."""
        is_new = self._connection is None
        try:
            return self._begin_on(self._connect(self._address))
        except psycopg.OperationalError:
            if is_new:
                raise
            # The server may have ended the session since the last transaction.
            self._disconnect()
            return self._begin_on(self._connect(self._address))

    def _begin_on(self, connection: psycopg.Connection[Any]) -> Transaction:
        self._end_watch()
        self._watch = self.watchdog.watch(connection)
        before_us = self._clock_ns() // 1_000
        cursor = connection.execute(_BEGIN)
        while cursor.nextset():
            pass
        last_sequence, server_time_us, catalogs_version = cursor.fetchone() or (0, 0, 0)
        if catalogs_version != self._catalogs_version:
            self._catalogs_version, self._live_generations = catalogs_version, {}
        self._last_sequence = last_sequence or 0
        self._server_time_us = server_time_us
        lease_time_us = server_time_us
        if self._lease_clock_ns is not None:
            lease_time_us = self._lease_clock_ns() // 1_000
        now_us = self._clock_ns() // 1_000
        self._clocks.compare(before_us, lease_time_us, now_us)
        return Transaction(
            PostgresConnection(connection),
            self._last_sequence,
            now_us,
            lease_time_us,
            self._live_generations,
            shared_time_us=lease_time_us,
        )

    def _end(
        self, connection: psycopg.Connection[Any], sequence: int, *, is_numbered: bool
    ) -> None:
        """Commit a transaction, and tell the other processes.

        Raises:
            psycopg.Error: nothing was stored.
            StoreUnavailable: the server cannot be reached, and whether it has stored anything is
                not known.
        """
        mark = self._make_mark(sequence if is_numbered else None)
        notification = f"NOTIFY {CHANNEL}, '{sequence}';" if is_numbered else ""
        self._warnings.clear()
        try:
            connection.execute(f"{mark.insertion}; {notification} COMMIT")
        except psycopg.Error as exc:
            # An error ended the transaction. Anything worse ended the session, perhaps only after
            # the transaction.
            if exc.diag.severity_nonlocalized == "ERROR":
                raise
            if not self._was_committed(mark, type(exc).__name__):
                raise
        else:
            if self._warnings and not self._was_committed(mark, self._warnings[0]):
                raise make_unavailable_error()

    def _make_mark(self, sequence: int | None) -> CommitMark:
        """Return the row of a transaction; of one without sequence numbers for None."""
        position = self._server_time_us if sequence is None else sequence
        return CommitMark(sequence is not None, position, secrets.randbits(63))

    def _was_committed(self, mark: CommitMark, reason: str) -> bool:
        """Return whether a transaction was committed, once it has ended and a standby has it.

        Raises:
            StoreUnavailable: the server cannot be reached, or no standby.
        """
        log = structlog.get_logger()
        log.warning("commit_interrupted", reason=reason)
        deadline = time.monotonic() + self._resolve_seconds
        try:
            for attempt_context in stamina.retry_context(
                on=(psycopg.OperationalError, ReadOnlySqlTransaction),
                attempts=None,
                timeout=self._resolve_seconds,
                wait_initial=0.1,
                wait_max=1.0,
            ):
                with attempt_context:
                    was_committed = self._look_for(mark, deadline)
        except (psycopg.OperationalError, ReadOnlySqlTransaction) as exc:
            error = make_unavailable_error(
                "the database server failed during the commit and cannot be reached: the write may "
                "have been stored"
            )
            error.may_be_stored = True
            raise error from exc
        log.info("commit_resolved", was_committed=was_committed)
        return was_committed

    def _look_for(self, mark: CommitMark, deadline: float) -> bool:
        """Return whether a transaction was committed, over a new connection.

        Raises:
            psycopg.OperationalError: it is not known by the deadline.
        """
        self._disconnect()
        address = make_conninfo(self._address, connect_timeout=_CONNECT_SECONDS)
        connection = self._connect(address, deadline - time.monotonic())
        self._warnings.clear()
        seconds = deadline - time.monotonic()
        with limit_time(connection, seconds):
            # The transaction can still run on the server, which then keeps the lock.
            connection.execute(f"SET lock_timeout = {max(1, int(seconds * 1_000))}")
            connection.execute(f"BEGIN; {LOCK_WRITES}")
            row = connection.execute(mark.query.encode()).fetchone()
            # This commit waits for a standby, and so for one that has the other commit.
            connection.execute(f"{self._make_mark(None).insertion}; COMMIT")
            connection.execute("SET lock_timeout = 0")
        if self._warnings:
            raise _UnconfirmedCommitError("no standby has confirmed the commit")
        return row is not None
