"""Runs a job in a transaction that others share."""

from __future__ import annotations

import psycopg

from service.storage.postgres.postgres_connections import PostgresConnection
from service.storage.postgres.postgres_errors import translate_error
from service.storage.write_queue import Job
from service.storage.writer import Transaction


class Spoiled:
    """The error of a job that has changed its transaction."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def attempt(job: Job, transaction: Transaction, statements: PostgresConnection) -> object:
    """Return the result of a job, or the exception that it raised before it changed anything."""
    written_rows = statements.written_rows
    try:
        return job.operation(transaction)
    except psycopg.Error as exc:
        if statements.connection.closed:
            raise
        return Spoiled(translate_error(exc))
    except Exception as exc:  # noqa: BLE001  (the caller of the job gets it)
        has_written = statements.is_spoiled or statements.written_rows != written_rows
        return Spoiled(exc) if has_written else exc


def attempt_in_savepoint(
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
