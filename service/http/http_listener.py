"""Listens for HTTP with uvicorn, as a part of a server that has other listeners as well."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

import h11
import structlog
import uvicorn
import uvicorn.server
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.http.response_writer import ABORT

# Largest request line with all headers. A path has two ids of 256 bytes, each byte of which takes
# three, and a query has page tokens and paths of attributes.
HEADER_BYTES = 64 * 1024

# Time in which a client must send all headers of a request, from its first byte or, for the first
# request of a connection, from the beginning of the connection.
HEADER_SECONDS = 30.0

# The same while the server drains: a request that is on its way gets a response.
DRAINING_HEADER_SECONDS = 3.0

# A connection without requests ends after this time; load balancers keep theirs for 60 s.
KEEP_ALIVE_SECONDS = 75

# Connections that wait to be accepted.
BACKLOG = 2_048

# Time in which a request ends by itself after its connection has ended; then it is cancelled.
DEPARTURE_SECONDS = 1.0

# Says to clients that a connection takes no further request.
CLOSE_HEADER = (b"connection", b"close")

UVICORN_LOG = "uvicorn.error"


class _ServerState(uvicorn.server.ServerState):
    """The connections of a listener; `has_closed` is set when one ends.

    `header_seconds` is the time in which a client must send all headers of a request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_closed = asyncio.Event()
        self.header_seconds = HEADER_SECONDS

    def drain(self) -> None:
        """Let all connections end after their request, and soon if they have none."""
        self.header_seconds = DRAINING_HEADER_SECONDS
        self.default_headers = [CLOSE_HEADER]
        for connection in tuple(self.connections):
            connection.shutdown()


class _Connection(H11Protocol):
    """A connection whose client must send its headers in time.

    uvicorn itself waits without end for the rest of a header.
    """

    server_state: _ServerState
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {ABORT: transport.abort}
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)
        self.server_state.has_closed.set()

    def data_received(self, data: bytes) -> None:
        requests = self.server_state.total_requests
        super().data_received(data)
        has_request = self.cycle is not None and not self.cycle.response_complete
        if has_request or self.server_state.total_requests > requests:
            self._stop_header_timer()
        elif self._header_timer is None and not self.transport.is_closing():
            self._start_header_timer()

    def shutdown(self) -> None:
        """End after the request in progress, or the one that may be on its way."""
        if self._header_timer is not None:
            self._stop_header_timer()
            self._start_header_timer()
            return
        if self.cycle is not None:
            self.cycle.default_headers = self.server_state.default_headers
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed data, with a response unless the one to its request has begun."""
        if self.cycle is not None and not self.cycle.response_complete:
            # The connection takes no other response, although the request is still in progress.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _start_header_timer(self) -> None:
        seconds = self.server_state.header_seconds
        self._header_timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class HttpListener:
    """Serves an ASGI application on one address.

    Args:
        application: answers the requests.
        tls: the certificate; None for plaintext.
    """

    def __init__(self, application: ASGIApp, tls: ssl.SSLContext | None) -> None:
        _route_log()
        config = uvicorn.Config(
            application,
            http=_Connection,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            # The peer of a connection is who it is, whatever headers a client sends.
            proxy_headers=False,
            server_header=False,
            # The application itself sends the date; uvicorn would need a timer.
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES,
            backlog=BACKLOG,
        )
        config.load()
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._state = self._server.server_state = _ServerState()
        self._server.lifespan = config.lifespan_class(config)
        self._is_listening = False

    async def start(self, sockets: list[socket.socket]) -> None:
        """Accept connections on bound sockets, which the listener closes when it drains."""
        await self._server.startup(sockets=sockets)
        self._is_listening = True

    async def drain(self, grace_seconds: float, hurry: asyncio.Event) -> None:
        """Accept no more requests, and let those in progress finish within the grace period.

        `hurry` ends the grace period at once when it is set.
        """
        if not self._is_listening:
            return
        self._is_listening = False
        # The loop accepts the connections that wait, which would be reset: it looks for them in the
        # first step, and accepts them in the second.
        for _ in range(2):
            await asyncio.sleep(0)
        for server in self._server.servers:
            server.close()
        self._state.drain()
        closing = asyncio.create_task(self._wait_until_closed())
        hurrying = asyncio.create_task(hurry.wait())
        ends = {closing, hurrying}
        await asyncio.wait(ends, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        await closing
        # Most requests notice by themselves that their connection has ended, and clean up. Others
        # may wait for something else, such as an embedding provider.
        if self._state.tasks:
            await asyncio.wait(tuple(self._state.tasks), timeout=DEPARTURE_SECONDS)
        for task in tuple(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)

    async def _wait_until_closed(self) -> None:
        while self._state.connections:
            self._state.has_closed.clear()
            await self._state.has_closed.wait()


class _LogHandler(logging.Handler):
    """Writes the errors of uvicorn to the log of the service."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().error(
            "http_failed", problem=record.getMessage(), exc_info=record.exc_info
        )


def _route_log() -> None:
    """Log errors of uvicorn; its warnings are about requests that are no HTTP."""
    logger = logging.getLogger(UVICORN_LOG)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.handlers = [_LogHandler()]
