"""Writes to PostgreSQL: one total order of all writes, whichever process they come from.

The row of the counter is locked first in each transaction and held to its commit. So transactions
become visible in the order of their sequence numbers, and no follower can miss one. A sequence
object of PostgreSQL would give the numbers of a transaction before those of an earlier commit.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import psycopg
import stamina
import structlog
from psycopg.errors import ReadOnlySqlTransaction

from service.domain.generations import LiveGeneration
from service.storage.postgres.clock_comparison import ClockComparison
from service.storage.postgres.postgres_connections import PostgresConnection, open_connection
from service.storage.postgres.postgres_errors import (
    make_unavailable_error,
    translate_error,
    translate_postgres_errors,
)
from service.storage.write_queue import Job
from service.storage.writer import Transaction

# The channel of the notifications of commits, with the last sequence number as payload.
CHANNEL = "akin"

# Time in which a connection must come back that failed during a commit, so that the outcome is
# known. A standby is promoted in a few seconds. All writes of the process wait for that, and the
# default deadline of clients is 10 s.
RESOLVE_SECONDS = 8.0

# How long the outcome may wait for the transaction itself, which can still run on the server.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"

# The writer finds rows by their keys, and planning takes longer than its statements. A plan that
# PostgreSQL makes while a table is small stays in use while the table grows, so it uses keys too.
_WRITER_SETTINGS = """
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
"""

_BEGIN = """
    BEGIN;
    SELECT value, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)
        FROM counters WHERE name = 'sequence' FOR UPDATE;
    SELECT value FROM counters WHERE name = 'catalogs';
"""


class PostgresSession:
    """Runs groups of operations, each group in one transaction: see WriteSession.

    Args:
        address: of the server; complete.
        clock_ns: returns the time in nanoseconds since 1970 UTC.
        lease_clock_ns: the clock of leases and retention; None for that of the server, which all
            replicas share.
    """

    def __init__(
        self,
        address: str,
        clock_ns: Callable[[], int],
        lease_clock_ns: Callable[[], int] | None = None,
    ) -> None:
        self._address = address
        self._clock_ns = clock_ns
        self._lease_clock_ns = lease_clock_ns
        self._clocks = ClockComparison()
        self._writer = uuid4().hex
        self._last_sequence = 0
        self._connection: psycopg.Connection[Any] | None = None
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
        assert outcomes is not None  # noqa: S101  (savepoints need no second attempt)
        return outcomes

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()

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
        attempt = _attempt_in_savepoint if in_savepoints else _attempt
        outcomes: list[Any] = []
        for job in jobs:
            if job.needs_caller and job.future.cancelled():
                outcomes.append(None)
                continue
            outcome = attempt(job, transaction, statements)
            if isinstance(outcome, _Spoiled):
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

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = open_connection(self._address)
            self._connection.execute(_WRITER_SETTINGS)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._catalogs_version = -1  # another server may have other generations

    def _begin(self) -> Transaction:
        """Begin a transaction, once all earlier ones have ended."""
        is_new = self._connection is None
        try:
            return self._begin_on(self._connect())
        except psycopg.OperationalError:
            if is_new:
                raise
            # The server may have ended the session since the last transaction.
            self._disconnect()
            return self._begin_on(self._connect())

    def _begin_on(self, connection: psycopg.Connection[Any]) -> Transaction:
        before_us = self._clock_ns() // 1_000
        cursor = connection.execute(_BEGIN)
        cursor.nextset()
        last_sequence, server_time_us = cursor.fetchone() or (0, 0)
        cursor.nextset()
        (catalogs_version,) = cursor.fetchone() or (0,)
        if catalogs_version != self._catalogs_version:
            self._catalogs_version, self._live_generations = catalogs_version, {}
        self._last_sequence = int(last_sequence)
        lease_time_us = int(server_time_us)
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
        token = secrets.randbits(63)
        numbered = f"""
            UPDATE counters SET value = {sequence} WHERE name = 'sequence';
            INSERT INTO commits (sequence, token) VALUES ({sequence}, {token});
            NOTIFY {CHANNEL}, '{sequence}';
        """
        try:
            connection.execute(f"""
                {numbered if is_numbered else ""}
                INSERT INTO writers (writer, token, commit_time)
                    VALUES ('{self._writer}', {token}, now())
                    ON CONFLICT (writer) DO UPDATE
                    SET token = excluded.token, commit_time = excluded.commit_time;
                COMMIT;
            """)
        except psycopg.Error as exc:
            # An error ended the transaction. Anything worse ended the session, perhaps only after
            # the transaction.
            if exc.diag.severity_nonlocalized == "ERROR" or not self._was_committed(token):
                raise

    def _was_committed(self, token: int) -> bool:
        """Return whether the transaction of a token was committed, once it has ended.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        log = structlog.get_logger()
        log.warning("commit_interrupted")
        try:
            for attempt in stamina.retry_context(
                on=(psycopg.OperationalError, ReadOnlySqlTransaction),
                attempts=None,
                timeout=RESOLVE_SECONDS,
                wait_initial=0.1,
                wait_max=1.0,
            ):
                with attempt:
                    self._disconnect()
                    connection = self._connect()
                    connection.execute(f"BEGIN; {_LOCK_TIMEOUT}")
                    connection.execute("SELECT 1 FROM counters WHERE name = 'sequence' FOR UPDATE")
                    row = connection.execute(
                        "SELECT token FROM writers WHERE writer = %s", (self._writer,)
                    ).fetchone()
                    # This commit waits for a standby, and so for one that has the other commit.
                    connection.execute(
                        "UPDATE writers SET commit_time = now() WHERE writer = %s", (self._writer,)
                    )
                    connection.execute("COMMIT")
        except (psycopg.OperationalError, ReadOnlySqlTransaction) as exc:
            error = make_unavailable_error(
                "the database server failed during the commit and cannot be reached: the write may "
                "have been stored"
            )
            error.may_be_stored = True
            raise error from exc
        was_committed = row == (token,)
        log.info("commit_resolved", was_committed=was_committed)
        return was_committed


class _Spoiled:
    """The error of a job that has changed its transaction."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _attempt(job: Job, transaction: Transaction, statements: PostgresConnection) -> object:
    """Return the result of a job, or the exception that it raised before it changed anything."""
    written_rows = statements.written_rows
    try:
        return job.operation(transaction)
    except psycopg.Error as exc:
        if statements.connection.closed:
            raise
        return _Spoiled(translate_error(exc))
    except Exception as exc:  # noqa: BLE001  (the caller of the job gets it)
        has_written = statements.is_spoiled or statements.written_rows != written_rows
        return _Spoiled(exc) if has_written else exc


def _attempt_in_savepoint(
    job: Job, transaction: Transaction, statements: PostgresConnection
) -> object:
    """Return the result of a job, or the exception that it raised; then its changes are undone."""
    connection = statements.connection
    connection.execute("SAVEPOINT operation")
    try:
        outcome = job.operation(transaction)
        statements.flush()
    except Exception as exc:
        if connection.closed:
            raise
        statements.deferred = None
        connection.execute("ROLLBACK TO operation")
        outcome = translate_error(exc)
    connection.execute("RELEASE operation")
    return outcome
