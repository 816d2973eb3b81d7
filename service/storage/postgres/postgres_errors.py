"""PostgreSQL's errors as errors of Akin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as postgres_errors

from service import errors

# Callers try again after this time: a standby is promoted in a few seconds.
FAILOVER_RETRY_SECONDS = 1.0

_CORRUPTED = (postgres_errors.DataCorrupted, postgres_errors.IndexCorrupted)

# Classes of errors that are due to a statement or its values: data, constraints, syntax and names,
# unknown statements and cursors, and limits of PostgreSQL.
_DEFECT_CLASSES = ("22", "23", "26", "34", "42", "54")

# A server that recovers refuses some statements as unsupported. Its function is the same in all
# languages of messages.
_RECOVERY_FUNCTION = "get_relation_info"


@contextmanager
def translate_postgres_errors() -> Iterator[None]:
    """Raise PostgreSQL's errors as AkinErrors; nothing outside of storage handles psycopg.

    Raises:
        StoreFull, StoreCorrupted, StoreUnavailable: as `translate_error` returns them.
    """
    try:
        yield
    except psycopg.Error as exc:  # also those of the pool
        error = translate_error(exc)
        if error is exc:
            raise
        raise error from exc


def translate_error(exc: Exception) -> Exception:
    """Return PostgreSQL's error as an AkinError with its cause, or unchanged if it is a defect.

    Returns:
        StoreFull if the server's disk has no room, StoreCorrupted if the database is damaged,
        StoreUnavailable if the server cannot be used now, whatever the reason is.
    """
    if not isinstance(exc, psycopg.Error) or _is_defect(exc):
        return exc
    error: errors.AkinError
    if isinstance(exc, postgres_errors.DiskFull):
        error = errors.StoreFull("the database server's disk is full")
    elif isinstance(exc, _CORRUPTED):
        error = errors.StoreCorrupted("the database is damaged")
    else:
        error = make_unavailable_error()
    error.__cause__ = exc
    return error


def make_unavailable_error(
    message: str = "the database server cannot be used now",
) -> errors.StoreUnavailable:
    """Return the error of a server that cannot be used for a moment."""
    error = errors.StoreUnavailable(message)
    error.retry_after_seconds = FAILOVER_RETRY_SECONDS
    return error


def has_lost_session(exc: psycopg.Error) -> bool:
    """Return whether an error can be due to a lost connection, so that another one may work."""
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        return True
    return exc.diag.severity_nonlocalized in {"FATAL", "PANIC"}


def describe_error(exc: BaseException) -> str:
    """Return the message of an error in one line, without details, which can have callers' texts.

    Messages of libpq name hosts and users, but no password.
    """
    message = exc.diag.message_primary if isinstance(exc, psycopg.Error) else None
    return " ".join((message or str(exc) or type(exc).__name__).split())


def _is_defect(exc: psycopg.Error) -> bool:
    """Return whether an error is due to Akin's statements, values or use of the driver."""
    state = exc.diag.sqlstate or exc.sqlstate
    if state is None:
        # The driver raises these itself. Errors of connections have no state either.
        return isinstance(
            exc, psycopg.ProgrammingError | psycopg.DataError | psycopg.NotSupportedError
        )
    if isinstance(exc, postgres_errors.InsufficientPrivilege):
        return False
    if isinstance(exc, postgres_errors.FeatureNotSupported):
        return exc.diag.source_function != _RECOVERY_FUNCTION
    return state.startswith(_DEFECT_CLASSES)
