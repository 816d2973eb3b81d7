"""Clocks that only tests advance."""

from __future__ import annotations

import asyncio
import threading

GIVE_UP_SECONDS = 120.0
START_US = 1_700_000_000_000_000


class FakeClock:
    """A clock in microseconds since 1970 UTC that only the test advances."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        """Return the time in nanoseconds since 1970 UTC."""
        return self.now_us * 1_000

    def advance(self, *, seconds: float = 0.0, microseconds: int = 0) -> None:
        """Advance the time."""
        self.now_us += round(seconds * 1e6) + microseconds


class HeldClock(FakeClock):
    """A clock that can block its readers.

    The store's writer reads the time at the start of each commit, so that a held clock holds it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def __call__(self) -> int:
        """Return the time as soon as the clock is not held."""
        self._asked.set()
        self._open.wait(GIVE_UP_SECONDS)
        return super().__call__()

    def hold(self) -> None:
        """Block readers from now on."""
        self._asked.clear()
        self._open.clear()

    async def asked(self) -> None:
        """Wait until a reader blocks."""
        assert await asyncio.to_thread(self._asked.wait, GIVE_UP_SECONDS)

    def release(self) -> None:
        """Unblock the readers."""
        self._open.set()
