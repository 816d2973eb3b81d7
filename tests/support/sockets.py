"""Peers that only sockets can imitate: silent ones, vanished ones, and an HTTP proxy."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Self


def send_pathless_calls(address: str, count: int) -> socket.socket:
    """Send calls without a path, which gRPC counts and never accepts; return the connection."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    names = ((b":method", b"POST"), (b":scheme", b"http"), (b"te", b"trailers"))
    # HPACK: literal header fields that are not indexed.
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in names
    )
    frames = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", _frame(4, 0, 0, b"")]
    for stream in range(1, 2 * count, 2):
        frames += [_frame(1, 5, stream, block), _frame(3, 0, stream, b"\x00\x00\x00\x08")]
    connection.sendall(b"".join(frames))
    return connection


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return an HTTP/2 frame."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


class Listener:
    """Accepts connections on a free port and never responds; a context manager.

    Attributes:
        address: `host:port` of the listener.
        connection_count: number of accepted connections.
    """

    def __init__(self) -> None:
        self.connection_count = 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        # Ends the thread that accepts, which closing alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        for opened in (self._listener, *self._sockets):
            opened.close()

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                self.connection_count += 1
                self._sockets.append(connection)
                self._serve(connection)
        except OSError:
            return  # the listener is closed

    def _serve(self, connection: socket.socket) -> None:
        """Handle a connection; the connection stays open until the listener is closed."""


class Proxy(Listener):
    """An HTTP proxy that refuses every request.

    Attributes:
        url: URL of the proxy.
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = f"http://{self.address}"

    def _serve(self, connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        connection.close()


class Relay(Listener):
    """Passes bytes between its callers and a server, until the network between them fails.

    Args:
        target: `host:port` of the server.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._is_cut = False
        self._stalled: set[socket.socket] = set()
        self._server_sides: list[socket.socket] = []

    def cut(self) -> None:
        """Drop all further bytes silently, like a network cable that is pulled out."""
        self._is_cut = True

    def mend(self) -> None:
        """Pass the bytes again that come from now on."""
        self._is_cut = False

    def stall(self) -> None:
        """Drop all further bytes of the open connections. New ones work."""
        self._stalled.update(self._sockets)

    def lose_answers(self) -> None:
        """Drop all further bytes from the server to the callers of the open connections."""
        self._stalled.update(self._server_sides)

    def _serve(self, connection: socket.socket) -> None:
        server = socket.create_connection(self._target)
        self._sockets.append(server)
        self._server_sides.append(server)
        for source, sink in ((connection, server), (server, connection)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                if not self._is_cut and source not in self._stalled:
                    sink.sendall(data)
        except OSError:
            return  # one of the sockets is closed


class TlsBreaker(Listener):
    """Breaks every TLS connection.

    Args:
        context: for the handshake, after which bytes come that are not of TLS. Without one, the
            connection is closed during the handshake.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._context = context

    def _serve(self, connection: socket.socket) -> None:
        if self._context is None:
            connection.recv(4096)
            connection.close()
            return
        with self._context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(4096)
            with socket.socket(fileno=secure.detach()) as plain:
                plain.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
