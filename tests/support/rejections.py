"""Checks of rejected calls, and requests that our clients would never send."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import akin
import grpc
import pytest
from akin._errors import decode
from akin._policy import MESSAGE_BYTES
from akin.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "akin.v1.RecommenderService"
OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
)


@contextmanager
def invalid(*fields: str) -> Iterator[None]:
    """Expect INVALID_ARGUMENT with exactly these invalid fields, in order."""
    with pytest.raises(akin.AkinError) as caught:
        yield
    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code
    assert "INVALID_REQUEST" == caught.value.reason
    assert list(fields) == [violation.field for violation in caught.value.violations]
    assert all(violation.description for violation in caught.value.violations)


class RawClient:
    """Sends any bytes or messages, without retries; a context manager."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=OPTIONS)
        self.stub = RecommenderServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.channel.close()

    def call(self, method: str, data: bytes) -> bytes:
        """Make one call with one request of bytes.

        Raises:
            AkinError: the call was rejected.
        """
        with translated():
            return self.channel.unary_unary(f"/{SERVICE}/{method}", bytes, bytes)(data)

    def answer(self, method: str, data: bytes) -> bytes | akin.AkinError:
        """Make one call, and return its response or its error."""
        try:
            return self.call(method, data)
        except akin.AkinError as exc:
            return exc

    def stream(self, messages: Sequence[bytes], name: str = "ImportItems") -> Iterator[bytes]:
        """Make an import with messages of bytes.

        Raises:
            AkinError: the import was rejected.
        """
        with translated():
            method = self.channel.stream_stream(f"/{SERVICE}/{name}", bytes, bytes)
            yield from method(iter(messages))

    def watch_health(self) -> Any:
        """Start the call that yields the health of the service, now and at each change."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)  # its published hints lack Watch
        return stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))

    def refusal(self, call: Callable[[RecommenderServiceStub], object]) -> grpc.RpcError:
        """Return the error that gRPC raises for a rejected call."""
        with pytest.raises(grpc.RpcError) as caught:
            call(self.stub)
        return caught.value


@contextmanager
def translated() -> Iterator[None]:
    """Convert gRPC's errors to AkinError, as our clients do."""
    try:
        yield
    except grpc.RpcError as exc:
        raise decode(exc) from exc


def header_bytes(error: grpc.RpcError) -> int:
    """Return the size of an error's trailers, with binary ones in Base64 (RFC 7540, 6.5.2)."""
    call: grpc.Call = error  # type: ignore[assignment]  # the base class lacks the methods
    headers = [("grpc-status", b"3"), (":status", b"200"), ("content-type", b"application/grpc")]
    total = sum(len(key) + len(value) + 32 for key, value in headers)
    details = call.details() or ""
    percent_encoded = sum(1 if 32 <= byte < 127 else 3 for byte in details.encode())
    total += len("grpc-message") + percent_encoded + 32
    for key, value in call.trailing_metadata() or ():
        total += (
            len(key) + 32 + (-(-len(value) * 4 // 3) if isinstance(value, bytes) else len(value))
        )
    return total
