"""SQLite's errors as errors of Akin."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from service import errors

# Primary result codes of failures that can pass without a repair of the database.
_TEMPORARY_CODES = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
    }
)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise SQLite's errors as AkinErrors; nothing outside of storage handles sqlite3.

    Raises:
        StoreFull, StoreCorrupted, StoreUnavailable: as `translate` returns them.
    """
    try:
        yield
    except sqlite3.Error as exc:
        error = translate(exc)
        if error is exc:
            raise
        raise error from exc


def translate(exc: sqlite3.Error) -> Exception:
    """Return SQLite's error as an AkinError, or unchanged if the disk is not the cause.

    Returns:
        StoreFull if the disk has no room, StoreCorrupted if the database is damaged,
        StoreUnavailable if the disk cannot be used now.
    """
    # Extended result codes keep the primary one in their low byte.
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return errors.StoreFull("the disk is full")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return errors.StoreCorrupted("the database is damaged")
    if code in _TEMPORARY_CODES:
        return errors.StoreUnavailable("the disk cannot be used now")
    return exc
