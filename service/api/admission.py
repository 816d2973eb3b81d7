"""Admission control: refuses calls while the server starts, and beyond what it can hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import IntEnum

from service import errors


class CallKind(IntEnum):
    """Calls that are limited together; the value is how many may be in progress at once.

    Analyses compute for seconds, so that a few of them keep all cores busy. A stream can stay open
    without end. A batch is as many calls as it has queries, up to 100. All calls hold memory while
    they wait.
    """

    CALL = 2_000
    BATCH = 20
    ANALYSIS = 8
    STREAM = 200


# One key may have this share of the calls of each kind, so that it leaves room for the others.
KEY_SHARE = 0.5


class AdmissionControl:
    """Counts the calls in progress, and refuses those that are too many; closed at first."""

    def __init__(self) -> None:
        self.is_open = False
        self._calls: Counter[CallKind] = Counter()
        self._calls_by_key: Counter[tuple[CallKind, str]] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_held = False
        self._has_closed = asyncio.Event()

    async def check_open(self) -> None:
        """Return if calls are admitted; while they are held, wait until they are refused.

        Raises:
            NotReady: the server is starting or shutting down.
        """
        if self._is_held:
            await self._has_closed.wait()
            raise errors.NotReady("the service is shutting down")
        if not self.is_open:
            raise errors.NotReady("the service is starting")

    def hold(self) -> None:
        """Let further calls wait until `close`."""
        self._is_held = True

    def close(self) -> None:
        """Refuse the calls that wait, and further ones."""
        self._has_closed.set()

    def enter(self, kind: CallKind, key: str | None) -> None:
        """Count a call that starts until it leaves; `key` is the name of the caller's key.

        Raises:
            Overloaded: too many calls are in progress.
        """
        if self._calls[kind] >= kind.value:
            raise errors.Overloaded("too many calls are in progress")
        if key is not None:
            if self._calls_by_key[kind, key] >= kind.value * KEY_SHARE:
                raise errors.Overloaded("too many calls with this key are in progress")
            self._calls_by_key[kind, key] += 1
        self._calls[kind] += 1
        self._idle.clear()

    def leave(self, kind: CallKind, key: str | None) -> None:
        """Count a call that ends."""
        self._calls[kind] -= 1
        if key is not None:
            self._calls_by_key[kind, key] -= 1
            if not self._calls_by_key[kind, key]:
                del self._calls_by_key[kind, key]
        if not any(self._calls.values()):
            self._idle.set()

    async def wait_until_idle(self) -> None:
        """Wait until no call is in progress."""
        await self._idle.wait()
