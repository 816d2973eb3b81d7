"""The calls that wait until an item index has applied a write."""

from __future__ import annotations

import asyncio

from service import errors


class WriteWaits:
    """The waits for writes in one item index, each for a sequence number."""

    def __init__(self) -> None:
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._is_closed = False

    async def wait(self, sequence: int) -> None:
        """Wait for the write `sequence`, which is not applied yet.

        Raises:
            NotReady: the waits are closed, or are closed first.
            StoreUnavailable: the store has lost the write.
        """
        if self._is_closed:
            raise errors.NotReady("the service is shutting down")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((sequence, waiter))
        await waiter

    def resume(self, reached: int) -> None:
        """End the waits for writes up to a sequence number, which are applied now."""
        waiting = []
        for sequence, waiter in self._waiters:
            if sequence > reached:
                waiting.append((sequence, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = waiting

    def fail_beyond(self, last_sequence: int) -> None:
        """End the waits for writes after the last one of the store, which has lost them."""
        waiting = []
        for sequence, waiter in self._waiters:
            if sequence <= last_sequence:
                waiting.append((sequence, waiter))
            elif not waiter.done():
                waiter.set_exception(errors.StoreUnavailable("the store has lost the write"))
        self._waiters = waiting

    def close(self) -> None:
        """End all waits, because no write is applied any more."""
        self._is_closed = True
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(errors.NotReady("the service is shutting down"))
