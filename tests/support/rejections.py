"""What a refused call looks like, and requests that no client of ours would make."""

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
    """Expects INVALID_ARGUMENT with exactly these fields at fault, in order."""
    with pytest.raises(akin.AkinError) as caught:
        yield
    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code
    assert "INVALID_REQUEST" == caught.value.reason
    assert list(fields) == [violation.field for violation in caught.value.violations]
    assert all(violation.description for violation in caught.value.violations)


class RawClient:
    """Sends whatever bytes or messages it is given, once; a context manager."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=OPTIONS)
        self.stub = RecommenderServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.channel.close()

    def call(self, method: str, data: bytes) -> bytes:
        """One call with one request of bytes.

        Raises:
            AkinError: it was refused.
        """
        with translated():
            return self.channel.unary_unary(f"/{SERVICE}/{method}", bytes, bytes)(data)

    def answer(self, method: str, data: bytes) -> bytes | akin.AkinError:
        """What a call got: a response or an error."""
        try:
            return self.call(method, data)
        except akin.AkinError as exc:
            return exc

    def stream(self, messages: Sequence[bytes]) -> Iterator[bytes]:
        """An import of messages of bytes.

        Raises:
            AkinError: it was refused.
        """
        with translated():
            method = self.channel.stream_stream(f"/{SERVICE}/ImportItems", bytes, bytes)
            yield from method(iter(messages))

    def watch_health(self) -> Any:
        """The call that yields the health of the service, now and at each change."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)  # its published hints lack Watch
        return stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))

    def refusal(self, call: Callable[[RecommenderServiceStub], object]) -> grpc.RpcError:
        """The error that gRPC itself makes of a refused call."""
        with pytest.raises(grpc.RpcError) as caught:
            call(self.stub)
        return caught.value


@contextmanager
def translated() -> Iterator[None]:
    """Turns gRPC's errors into AkinError, as our clients do."""
    try:
        yield
    except grpc.RpcError as exc:
        raise decode(exc) from exc


def header_bytes(error: grpc.RpcError) -> int:
    """What the trailers of an error take, where binary ones go as Base64 (RFC 7540, 6.5.2)."""
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
