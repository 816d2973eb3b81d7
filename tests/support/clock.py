"""Clocks that stand still until a test moves them on."""

from __future__ import annotations

import asyncio
import threading

GIVE_UP_SECONDS = 30.0
START_US = 1_700_000_000_000_000


class FakeClock:
    """Microseconds since 1970 UTC, as far as the test has advanced them."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        """The time."""
        return self.now_us

    def advance(self, *, seconds: float = 0.0, microseconds: int = 0) -> None:
        """Moves the time on."""
        self.now_us += round(seconds * 1e6) + microseconds


class HeldClock(FakeClock):
    """A clock that can keep whoever asks for the time waiting.

    The store's writer asks at the start of each commit, so holding the clock holds the writer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def __call__(self) -> int:
        """The time, once the clock is not held."""
        self._asked.set()
        self._open.wait(GIVE_UP_SECONDS)
        return super().__call__()

    def hold(self) -> None:
        """Keeps whoever asks from now on waiting."""
        self._asked.clear()
        self._open.clear()

    async def asked(self) -> None:
        """Waits until somebody asks."""
        assert await asyncio.to_thread(self._asked.wait, GIVE_UP_SECONDS)

    def release(self) -> None:
        """Answers whoever waits."""
        self._open.set()
