"""What the benchmark needs of a server that it measures."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import grpc
import httpx

from peers.dataset import Case

CALL_SECONDS = 60.0


@dataclass(frozen=True)
class Endpoint:
    """Where serialized messages go.

    Args:
        kind: a gRPC method, an HTTP path that takes POSTs of JSON, or a PostgreSQL database that
            takes SQL. The load generator has an option of this name.
        path: the method, the path, or the user and the name of the database.
        send: sends one message and returns the reply.
    """

    kind: Literal["method", "path", "database"]
    path: str
    send: Callable[[bytes], bytes]


class Peer(Protocol):
    """A server with all stored items of the dataset. Results are rows of it.

    Attributes:
        name: name in the results.
        address: host and port.
        queries: where queries go.
        writes: where writes go.
        breadths: numbers of candidates that a query can ask for, ascending. Empty if it cannot.
    """

    name: str
    address: str
    queries: Endpoint
    writes: Endpoint
    breadths: Sequence[int]

    def query(self, case: Case, row: int, breadth: int) -> bytes:
        """Return a query for ten results besides the row itself."""

    def rows(self, reply: bytes) -> list[int]:
        """Return the result rows of a reply."""

    def write(self, number: int) -> bytes:
        """Return a write of a version of a new item, applied when the reply comes."""

    def settle(self) -> None:
        """Wait until the server has finished its work in the background."""


def grpc_endpoint(channel: grpc.Channel, method: str) -> Endpoint:
    """Return a unary gRPC method."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    return Endpoint("method", method, lambda message: call(message, timeout=CALL_SECONDS))


def http_endpoint(client: httpx.Client, path: str) -> Endpoint:
    """Return an HTTP path that takes POSTs of JSON."""

    def send(message: bytes) -> bytes:
        json = {"Content-Type": "application/json"}
        return client.post(path, content=message, headers=json).raise_for_status().content

    return Endpoint("path", path, send)


def find_free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
