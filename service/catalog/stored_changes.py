"""Errors after a change was stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service import errors


@contextmanager
def reply_after_change() -> Iterator[None]:
    """Let an error say that the change was stored whose result cannot be read now.

    Raises:
        StoreUnavailable: as what the database or the catalog raised.
    """
    try:
        yield
    except (errors.StoreUnavailable, errors.NotReady) as exc:
        error = errors.StoreUnavailable(
            "the change was stored, but its result cannot be read now; read it later"
        )
        error.retry_after_seconds = exc.retry_after_seconds
        raise error from exc
