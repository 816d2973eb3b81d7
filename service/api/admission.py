"""Admission control: refuses calls while the server starts, and beyond what it can hold."""

from __future__ import annotations

import asyncio

from service import errors

# Unary calls at once; further ones are refused, because each holds memory while it waits.
CALLS_AT_ONCE = 2_000

# Streams at once; they are limited apart from calls, because a stream can stay open without end.
STREAMS_AT_ONCE = 200


class AdmissionControl:
    """Counts the calls in progress, and refuses those that are too many; closed at first."""

    def __init__(self) -> None:
        self.is_open = False
        self._calls = 0
        self._streams = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, *, stream: bool) -> None:
        """Admit a call that starts, and count it until it leaves.

        Raises:
            NotReady: the server is starting.
            Overloaded: too many calls are in progress.
        """
        if not self.is_open:
            raise errors.NotReady("the service is starting")
        if self._streams >= STREAMS_AT_ONCE if stream else self._calls >= CALLS_AT_ONCE:
            raise errors.Overloaded("too many calls are in progress")
        self._calls += 1
        self._streams += stream
        self._idle.clear()

    def leave(self, *, stream: bool) -> None:
        """Count a call that ends."""
        self._calls -= 1
        self._streams -= stream
        if not self._calls:
            self._idle.set()

    async def wait_until_idle(self) -> None:
        """Wait until no call is in progress."""
        await self._idle.wait()
