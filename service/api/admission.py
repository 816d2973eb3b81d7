"""Where calls enter: closed while the service starts, and for those beyond what it can hold."""

from __future__ import annotations

import asyncio

from service import errors

CALLS_AT_ONCE = 2_000
STREAMS_AT_ONCE = 200
"""Further calls are refused: each holds memory while it waits. Streams may wait for ever."""


class AdmissionControl:
    """Lets calls in and counts them; closed while the service starts."""

    def __init__(self) -> None:
        self.open = False
        self._inside = 0
        self._streams = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, *, stream: bool) -> None:
        """Counts a call that starts."""
        self._inside += 1
        self._streams += stream
        self._empty.clear()

    def check(self, *, stream: bool) -> None:
        """Raises NotReady while it is closed, Overloaded if too many are inside."""
        if not self.open:
            raise errors.NotReady("the service is starting")
        if self._streams > STREAMS_AT_ONCE if stream else self._inside > CALLS_AT_ONCE:
            raise errors.Overloaded("too many calls are under way")

    def leave(self, *, stream: bool) -> None:
        """Counts a call that ends."""
        self._inside -= 1
        self._streams -= stream
        if not self._inside:
            self._empty.set()

    async def idle(self) -> None:
        """Waits until no call is under way."""
        await self._empty.wait()
