"""Sends responses: headers that all responses have, compression, and clients that do not read."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope, Send

from service.api.request_ids import REQUEST_ID, read_request_id
from service.http.request_body import RequestBody

# A client that reads nothing for this time loses its connection.
UNREAD_SECONDS = 60.0

# A part of a large response, which is sent once the client has read most of the former one.
RESPONSE_PART_BYTES = 64 * 1024

# Smaller responses gain little from compression.
MIN_COMPRESSED_BYTES = 2_048

# On responses with items, level 1 is three times as fast as the default of 9, and a tenth larger.
COMPRESSION_LEVEL = 1

JSON = "application/json"
NDJSON = "application/x-ndjson"

# Where a connection gives the function that ends it at once to the requests that it receives.
ABORT = "abort"

_COMMON_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class ResponseWriter:
    """Sends the response to one request.

    `has_started` says whether the headers are sent, and `sent_bytes` is the size of the body so
    far. A client that reads nothing for `unread_seconds` loses its connection; None: it keeps it.

    Args:
        scope: the scope of the request.
        send: sends the events of the response.
        body: the body of the request.
    """

    def __init__(self, scope: Scope, send: Send, body: RequestBody) -> None:
        self.has_started = False
        self.sent_bytes = 0
        self.unread_seconds: float | None = UNREAD_SECONDS
        self._send_event = send
        self._body = body
        self._takes_gzip = _accepts_gzip(Headers(scope=scope))
        state: Mapping[str, Callable[[], None]] = scope.get("state", {})
        self._abort = state.get(ABORT)

    async def start(
        self, status: int, content_type: str, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Send the status and the headers."""
        self.has_started = True
        fields = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        if self._body.is_withheld:
            # The client may send the body or not: the server cannot know what comes next.
            fields.append((b"connection", b"close"))
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"date", _format_date(int(time.time()))),
                    (b"content-type", content_type.encode()),
                    *_COMMON_HEADERS,
                    *fields,
                ],
            }
        )

    async def write(self, data: bytes) -> None:
        """Send a part of the body."""
        for start in range(0, len(data), RESPONSE_PART_BYTES):
            part = data[start : start + RESPONSE_PART_BYTES]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
            self.sent_bytes += len(part)

    async def end(self) -> None:
        """End the response."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def write_all(
        self, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Send a whole response in JSON; `end` ends it."""
        fields = list(headers)
        if len(body) >= MIN_COMPRESSED_BYTES:
            fields.append(("vary", "accept-encoding"))
            if self._takes_gzip:
                fields.append(("content-encoding", "gzip"))
                body = await _compress(body)
        fields.append(("content-length", str(len(body))))
        await self.start(status, JSON, fields)
        await self.write(body)

    def abort(self) -> None:
        """End the connection at once."""
        if self._abort is not None:
            self._abort()

    async def _send(self, event: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(self.unread_seconds):
                await self._send_event(event)
        except TimeoutError:
            self.abort()
            raise asyncio.CancelledError from None


def name_request(headers: Headers) -> list[tuple[str, str]]:
    """Return the header of a response that repeats the id of its request, or has a new one."""
    ids = [(REQUEST_ID, value) for value in headers.getlist(REQUEST_ID)]
    return [(REQUEST_ID, read_request_id(ids))]


async def _compress(body: bytes) -> bytes:
    if len(body) < RESPONSE_PART_BYTES:
        return gzip.compress(body, COMPRESSION_LEVEL)
    return await asyncio.to_thread(gzip.compress, body, COMPRESSION_LEVEL)


def _accepts_gzip(headers: Headers) -> bool:
    """Return whether a client takes gzip, by name or as any encoding; with `q=0` it does not."""
    weights: dict[str, str] = {}
    for part in headers.get("accept-encoding", "").split(","):
        name, _, weight = part.replace(" ", "").lower().partition(";q=")
        weights[name] = weight or "1"
    return weights.get("gzip", weights.get("*", "0")).rstrip("0.") != ""


@lru_cache(maxsize=1)
def _format_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
