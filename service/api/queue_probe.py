"""Probes of the queue inside gRPC: calls that a server sends to itself."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from urllib.parse import quote

import grpc

# A probe does not wait for its answer for longer. It remains in the queue.
PROBE_TIMEOUT_SECONDS = 10.0

# The longest path of a Unix socket on all systems; Linux has 107.
SOCKET_PATH_BYTES = 103


class QueueProbe:
    """Sends calls to a server through a Unix socket.

    They bypass TLS, and are queued with the calls of all connections. `method` is the path of the
    last one. It does not exist, so that gRPC itself answers it, and it is random, so that nobody
    else can call it. `is_possible` is false if the path of the socket is too long, or once the
    server could not listen or a probe did not reach it. Then `send` does nothing.

    Args:
        socket: where the socket is created. Only the user of the server may reach its folder.
    """

    def __init__(self, socket: Path) -> None:
        self.method = ""
        self._socket = socket.absolute()
        path = bytes(self._socket)
        self._address = f"unix:{quote(path)}"
        # gRPC takes a comma for the end of an address.
        self.is_possible = len(path) <= SOCKET_PATH_BYTES and b"," not in path
        self._channel: grpc.aio.Channel | None = None
        self._calls: set[asyncio.Task[None]] = set()

    def listen(self, server: grpc.aio.Server) -> None:
        """Let a server, before it starts, listen on the socket."""
        if self.is_possible:
            try:
                server.add_insecure_port(self._address)
                self._socket.chmod(0o600)
            except (OSError, RuntimeError):
                self.is_possible = False

    def send(self) -> None:
        """Send a probe."""
        if not self.is_possible:
            return
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address)
        self.method = f"/akin.Probe/{secrets.token_hex(16)}"
        call = asyncio.create_task(self._send(self._channel))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def close(self) -> None:
        """Give up the probes on their way, and close the connection."""
        self.is_possible = False
        if self._channel is not None:
            await self._channel.close()

    async def _send(self, channel: grpc.aio.Channel) -> None:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self.method)
        try:
            await call(b"", timeout=PROBE_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.UNAVAILABLE:
                self.is_possible = False
        except (grpc.aio.UsageError, asyncio.CancelledError):
            self.is_possible = False
