"""The body of an HTTP request, which stays with its client until it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Receive

from service import errors
from service.domain import limits

# A client that sends nothing for this time in the middle of a body has lost its connection.
SILENT_SECONDS = 60.0

# The rest of a body that nobody needs is received after the response, so that the client gets the
# response instead of an error while it sends. It is received for this long at most.
DISCARD_SECONDS = 2.0
DISCARD_BYTES = limits.MESSAGE_BYTES


class RequestBody:
    """Receives the body of one request, and notices that the client leaves.

    `has_ended` says whether the whole body has arrived, and `has_left` whether the client has left.

    Args:
        receive: receives the events of the request.
        headers: the headers of the request.
    """

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self.headers = headers
        self.has_ended = False
        self.has_left = False
        self._receive = receive
        self._has_begun = False
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> bytes:
        """Return the next part of the body; after its end, wait until the client leaves."""
        self._has_begun = True
        event = await self._receive()
        self.has_left = event["type"] == "http.disconnect"
        self.has_ended = self.has_ended or not (self.has_left or event.get("more_body", False))
        return bytes(event.get("body", b""))

    async def read_chunk(self) -> bytes | None:
        """Return the next part of the body, None at the end.

        Raises:
            CancelledError: the client has left.
        """
        if self.has_ended:
            return None
        data = await self.receive()
        if self.has_left:
            raise asyncio.CancelledError
        return data

    async def read_all(self, max_bytes: int) -> bytes | None:
        """Return the body, None if it is longer than the limit.

        Raises:
            CancelledError: the client has left.
            StreamIdle: the client has sent nothing for too long.
        """
        if int(self.headers.get("content-length", "0")) > max_bytes:
            return None
        data = bytearray()
        try:
            while not self.has_ended:
                async with asyncio.timeout(SILENT_SECONDS):
                    data += await self.read_chunk() or b""
                if len(data) > max_bytes:
                    return None
        except TimeoutError:
            message = f"the client has sent nothing for {SILENT_SECONDS:g} seconds"
            raise errors.StreamIdle(message) from None
        return bytes(data)

    def watch(self, on_departure: Callable[[], object]) -> None:
        """Call `on_departure` if the client leaves; the body must have ended."""

        async def wait() -> None:
            await self._receive()
            on_departure()

        self._watch = asyncio.create_task(wait())

    def end_watch(self) -> None:
        """Notice no longer that the client leaves."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    @property
    def is_withheld(self) -> bool:
        """Whether the client waits for leave to send the body, and has not got it."""
        return not self._has_begun and self.headers.get("expect", "").lower() == "100-continue"

    async def discard(self) -> None:
        """Receive the rest of the body, but not for long."""
        if self.has_ended or self.is_withheld:
            return
        size = 0
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while size < DISCARD_BYTES and (chunk := await self.read_chunk()) is not None:
                    size += len(chunk)
