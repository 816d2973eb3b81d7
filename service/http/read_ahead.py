"""Receives the body of a request ahead of its reader, to notice that the client leaves."""

from __future__ import annotations

import asyncio

from service import errors
from service.http.request_body import RequestBody

# Received bytes that nobody has read yet. A client that leaves is noticed only after everything
# that it has sent, which an import may read slowly.
READ_AHEAD_BYTES = 1024 * 1024


class ReadAhead:
    """Receives a body in a task of its own, which begins with the first read.

    If the client leaves, the task that has made this object is cancelled.

    Args:
        body: the body.
    """

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._request = asyncio.current_task()
        self._data = bytearray()
        self._has_changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_draining = False
        self._receiving: asyncio.Task[None] | None = None

    async def read_chunk(self) -> bytes | None:
        """Return the next part of the body, None at the end.

        Raises:
            NotReady: the server stops before the end of the body.
        """
        if self._receiving is None:
            self._receiving = asyncio.create_task(self._receive())
        while not (self._data or self._body.has_ended or self._is_draining):
            self._has_changed.clear()
            await self._has_changed.wait()
        if self._is_draining and not self._body.has_ended:
            raise errors.NotReady("the service is shutting down")
        data = bytes(self._data)
        self._data.clear()
        self._has_room.set()
        return data or None

    def drain(self) -> None:
        """Let reads fail from now on, unless the whole body has arrived."""
        self._is_draining = True
        self._has_changed.set()

    def close(self) -> None:
        """Receive no more, and notice no longer that the client leaves."""
        if self._receiving is not None:
            self._receiving.cancel()

    async def _receive(self) -> None:
        while not self._body.has_left:
            self._data += await self._body.receive()
            self._has_changed.set()
            while len(self._data) >= READ_AHEAD_BYTES and not self._body.has_ended:
                self._has_room.clear()
                await self._has_room.wait()
        if self._request is not None:
            self._request.cancel()
