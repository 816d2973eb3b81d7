"""Responses that are sent while their client still sends its request."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from service.http.response_writer import NDJSON, UNREAD_SECONDS, ResponseWriter

# Many clients read no response before they have sent the whole request. As many bytes wait for
# them, about 10,000 lines; then the request waits as well.
BACKLOG_BYTES = 4 * 1024 * 1024


class ResponseBacklog:
    """Sends lines in a task of its own, as fast as the client reads.

    Args:
        writer: sends the response.
        headers: of the response.
    """

    def __init__(self, writer: ResponseWriter, headers: list[tuple[str, str]]) -> None:
        self._writer = writer
        self._writer.unread_seconds = None
        self._headers = headers
        self._data = bytearray()
        self._sending: asyncio.Task[None] | None = None
        self._has_room = asyncio.Event()

    @property
    def is_used(self) -> bool:
        """Whether there was a line."""
        return self._writer.has_started or bool(self._data)

    async def put(self, lines: bytes) -> None:
        """Send lines later; wait while too many wait already."""
        self._data += lines
        if self._data and self._sending is None:
            self._sending = asyncio.create_task(self._send())
        while len(self._data) > BACKLOG_BYTES:
            self._has_room.clear()
            await self._has_room.wait()

    async def flush(self) -> None:
        """Wait until everything is sent.

        Raises:
            CancelledError: the client does not read.
        """
        self._writer.unread_seconds = UNREAD_SECONDS
        while self._sending is not None:
            size = self._writer.sent_bytes
            await asyncio.wait({self._sending}, timeout=UNREAD_SECONDS)
            if self._sending is not None and self._writer.sent_bytes == size:
                self._writer.abort()
                raise asyncio.CancelledError

    def close(self) -> None:
        """Send nothing more."""
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self) -> None:
        try:
            while self._data:
                if not self._writer.has_started:
                    await self._writer.start(HTTPStatus.OK, NDJSON, self._headers)
                data = bytes(self._data)
                self._data.clear()
                self._has_room.set()
                await self._writer.write(data)
        finally:
            self._sending = None
