"""Bounds the memory of requests: a message is received only while there is room for it.

Until then it stays with its caller, held back by the flow control of HTTP/2.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service import errors
from service.domain import limits

# Memory of a request in progress for each of its bytes: as gRPC received it, as a Python object, as
# a parsed request, and as its parts.
BYTES_IN_MEMORY = 4

# Memory of the largest request.
LARGEST_BYTES = limits.MESSAGE_BYTES * BYTES_IN_MEMORY

# Memory of all requests in progress; more are received when some have ended.
BUDGET_BYTES = 512 * 1024 * 1024

# Messages that are received at once even if the budget is used up, so that small requests are
# served beside large ones. Requests can exceed the budget by this many of the largest ones.
MIN_RECEPTIONS = 4

# A message that takes longer than this to arrive gives up its place if others wait for one: its
# caller has opened a call and sends nothing, or it is on a slow network.
PLACE_SECONDS = 0.1

# Requests that may go on to arrive without a place. If there are more, the oldest one is refused.
MAX_SLOW_RECEPTIONS = 32

# A request that has waited this long for memory is refused.
ROOM_SECONDS = 3.0


@dataclass(eq=False)
class _Reception:
    """A message that is being received; at `timeout` it is refused."""

    timeout: asyncio.Timeout
    started_at: float
    is_stream: bool


class RequestMemory:
    """Receives messages within a budget of memory.

    The size of a message is not known before it has arrived, so that each one that is being
    received counts as large as the limit. Callers receive messages in turns.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._held_bytes = 0
        self._placed: OrderedDict[_Reception, None] = OrderedDict()
        self._slow: OrderedDict[_Reception, None] = OrderedDict()
        self._waiters: OrderedDict[str, list[asyncio.Future[None]]] = OrderedDict()
        self._promised_places = 0
        self._timer: asyncio.TimerHandle | None = None

    async def receive(
        self, read: Callable[[], Awaitable[bytes]], identify_caller: Callable[[], str]
    ) -> bytes:
        """Return what `read` returns, once there is room; `release` it afterwards.

        Args:
            read: receives the message.
            identify_caller: returns whose message it is.

        Raises:
            Overloaded: there was no room for too long, or the message arrived too slowly while
                others waited.
        """
        if self._count_free_places() <= 0:
            try:
                async with asyncio.timeout(ROOM_SECONDS):
                    await self._wait_for_place(identify_caller())
            except TimeoutError:
                raise errors.Overloaded("there is no room for the request") from None
        try:
            return await self._read(read, is_stream=False)
        except TimeoutError:
            raise errors.Overloaded("the request arrived too slowly") from None

    async def receive_next(
        self, read: Callable[[], Awaitable[bytes]], identify_caller: Callable[[], str]
    ) -> bytes:
        """Return what `read` returns for a stream, which can stay silent as long as it likes.

        Args: as for `receive`.
        """
        if self._count_free_places() <= 0:
            await self._wait_for_place(identify_caller())
        return await self._read(read, is_stream=True)

    def release(self, size: int) -> None:
        """Give back the memory of a request of `size` bytes."""
        self._held_bytes -= size * BYTES_IN_MEMORY
        self._wake()

    async def _read(self, read: Callable[[], Awaitable[bytes]], *, is_stream: bool) -> bytes:
        async with asyncio.timeout(None) as timeout:
            reception = _Reception(timeout, asyncio.get_running_loop().time(), is_stream)
            self._placed[reception] = None
            self._watch_slow()
            try:
                data = await read()
                self._held_bytes += len(data) * BYTES_IN_MEMORY
            finally:
                self._placed.pop(reception, None)
                self._slow.pop(reception, None)
                self._wake()
        return data

    def _count_free_places(self) -> int:
        free_bytes = self._budget_bytes - self._held_bytes
        over_budget = -(-free_bytes // LARGEST_BYTES) + MIN_RECEPTIONS
        within_budget = free_bytes // LARGEST_BYTES - len(self._slow)
        places = max(min(MIN_RECEPTIONS, over_budget), within_budget)
        return places - len(self._placed) - self._promised_places

    async def _wait_for_place(self, caller: str) -> None:
        """Wait until there is a place for a message of the caller."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(caller, []).append(waiter)
        self._watch_slow()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._leave_queue(waiter, caller)
            else:
                self._promised_places -= 1
                self._wake()
            raise
        self._promised_places -= 1

    def _leave_queue(self, waiter: asyncio.Future[None], caller: str) -> None:
        waiters = self._waiters.get(caller, [])
        if waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[caller]

    def _wake(self) -> None:
        """Promise each free place to the newest waiter of the next caller."""
        places = self._count_free_places()
        while places > 0 and self._waiters:
            caller, waiters = self._waiters.popitem(last=False)
            waiter = waiters.pop()
            if waiters:
                self._waiters[caller] = waiters
            if not waiter.done():
                waiter.set_result(None)
                self._promised_places += 1
                places -= 1

    def _watch_slow(self) -> None:
        """Wait for the time at which the oldest message gives up its place, if others wait."""
        if self._timer is None and self._waiters and self._placed:
            end = next(iter(self._placed)).started_at + PLACE_SECONDS
            self._timer = asyncio.get_running_loop().call_at(end, self._take_place)

    def _take_place(self) -> None:
        """Let the oldest message go on to arrive without a place, but not too many of them."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        oldest = next(iter(self._placed), None)
        if self._waiters and oldest is not None and now - oldest.started_at >= PLACE_SECONDS:
            del self._placed[oldest]
            if not oldest.is_stream:
                self._slow[oldest] = None
            if len(self._slow) > MAX_SLOW_RECEPTIONS:
                slowest, _ = self._slow.popitem(last=False)
                slowest.timeout.reschedule(now)
            self._wake()
        self._watch_slow()
