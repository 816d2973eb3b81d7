"""Wakes the tasks of generations that have something due, with one query for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection

import structlog

from service import errors
from service.domain.generations import Generation


class DueGenerations:
    """Looks at an interval which generations have something due, while `run` runs.

    Args:
        list_due: returns the ids of these generations.
        interval_seconds: the interval.
    """

    def __init__(
        self, list_due: Callable[[], Awaitable[Collection[int]]], interval_seconds: float
    ) -> None:
        self._list_due = list_due
        self._interval_seconds = interval_seconds
        self._waiters: defaultdict[int, set[asyncio.Future[None]]] = defaultdict(set)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                for generation_id in await self._list_due():
                    self._wake(generation_id)
            except errors.AkinError as exc:
                structlog.get_logger().warning("due_generations_unknown", reason=exc.reason)
            await asyncio.sleep(self._interval_seconds)

    async def wait(self, generation: Generation) -> None:
        """Wait until a look finds that something of a generation is due."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters[generation.generation_id]
        waiters.add(waiter)
        try:
            await waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(generation.generation_id, None)

    def _wake(self, generation_id: int) -> None:
        for waiter in self._waiters.get(generation_id, ()):
            if not waiter.done():
                waiter.set_result(None)
