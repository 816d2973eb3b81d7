"""PostgreSQL's errors as errors of Akin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
from psycopg import errors as postgres_errors

from service import errors

# Callers try again after this time: a standby is promoted in a few seconds.
FAILOVER_RETRY_SECONDS = 1.0

_CORRUPTED = (postgres_errors.DataCorrupted, postgres_errors.IndexCorrupted)

# The server has become a standby, for instance because another one was promoted.
_READ_ONLY = postgres_errors.ReadOnlySqlTransaction


@contextmanager
def translate_postgres_errors() -> Iterator[None]:
    """Raise PostgreSQL's errors as AkinErrors; nothing outside of storage handles psycopg.

    Raises:
        StoreFull, StoreCorrupted, StoreUnavailable: as `translate_error` returns them.
    """
    try:
        yield
    except (psycopg.Error, psycopg_pool.PoolTimeout) as exc:
        error = translate_error(exc)
        if error is exc:
            raise
        raise error from exc


def translate_error(exc: Exception) -> Exception:
    """Return PostgreSQL's error as an AkinError, or unchanged if the server is not the cause.

    Returns:
        StoreFull if the server's disk has no room, StoreCorrupted if the database is damaged,
        StoreUnavailable if the server cannot be used now.
    """
    if isinstance(exc, postgres_errors.DiskFull):
        return errors.StoreFull("the database server's disk is full")
    if isinstance(exc, _CORRUPTED):
        return errors.StoreCorrupted("the database is damaged")
    if isinstance(exc, psycopg.OperationalError | _READ_ONLY):
        return make_unavailable_error()
    return exc


def make_unavailable_error(
    message: str = "the database server cannot be used now",
) -> errors.StoreUnavailable:
    """Return the error of a server that cannot be used for a moment."""
    error = errors.StoreUnavailable(message)
    error.retry_after_seconds = FAILOVER_RETRY_SECONDS
    return error
