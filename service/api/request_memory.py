"""Bounds the memory of requests: a message is received only while there is room for it.

Until then it stays with its caller, held back by the flow control of HTTP/2.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from service import errors
from service.domain import limits

# Memory of all requests in progress; more are received when some have ended.
BUDGET_BYTES = 512 * 1024 * 1024

# Memory of a request in progress for each of its bytes: as gRPC received it, as a Python object, as
# a parsed request, and as its parts.
BYTES_IN_MEMORY = 4

# Messages that are received at once even if the budget is used up, so that small requests are
# served beside large ones.
MIN_RECEPTIONS = 4

# A message that takes longer than this to arrive gives up its place if others wait for one.
SLOW_SECONDS = 3.0


class RequestMemory:
    """Receives messages within a budget of memory.

    The size of a message is not known before it has arrived, so that each one that is being
    received counts as large as the limit.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._held_bytes = 0
        self._receptions: OrderedDict[asyncio.Timeout, float] = OrderedDict()
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def receive(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what `read` returns, once there is room; `release` it afterwards.

        Raises:
            Overloaded: the message arrived too slowly while others waited.
        """
        while len(self._receptions) >= self._max_receptions():
            await self._wait_for_reception()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as reception:
                self._receptions[reception] = loop.time()
                try:
                    data = await read()
                finally:
                    self._receptions.pop(reception, None)
                    self._wake_next()
        except TimeoutError:
            raise errors.Overloaded("the request arrived too slowly") from None
        self.hold(len(data))
        return data

    async def wait_for_room(self) -> None:
        """Wait until the budget has room for the next message of a stream.

        A stream can stay silent as long as it likes, and can exceed the budget by one message.
        """
        while self._held_bytes >= self._budget_bytes:
            await self._wait()

    def hold(self, size: int) -> None:
        """Count the memory of a request of `size` bytes."""
        self._held_bytes += size * BYTES_IN_MEMORY

    def release(self, size: int) -> None:
        """Give back the memory of a request of `size` bytes."""
        self._held_bytes -= size * BYTES_IN_MEMORY
        self._wake_next()

    def _max_receptions(self) -> int:
        free_bytes = self._budget_bytes - self._held_bytes
        return max(MIN_RECEPTIONS, free_bytes // (limits.MESSAGE_BYTES * BYTES_IN_MEMORY))

    async def _wait_for_reception(self) -> None:
        """Wait until a message was received or released, or end the slowest reception."""
        loop = asyncio.get_running_loop()
        reception, started_at = next(iter(self._receptions.items()))
        try:
            async with asyncio.timeout_at(started_at + SLOW_SECONDS):
                await self._wait()
        except TimeoutError:
            if self._receptions.pop(reception, None) is not None:
                reception.reschedule(loop.time())

    async def _wait(self) -> None:
        """Wait until a message was received or released."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_next()
            raise

    def _wake_next(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
