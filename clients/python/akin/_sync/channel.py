"""gRPC channel that blocks.

Everything in which blocking grpc differs from grpc.aio is in this module. It is written by hand, as
is its counterpart `akin/_async/channel.py`; all other modules of `akin._sync` are generated. Change
the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from akin import _policy
from akin._errors import decode
from akin._imports import RequestStream
from akin._policy import Tls

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Channel:
    """Channel whose failed calls raise AkinError.

    Attributes:
        grpc_channel: the channel for stubs.
    """

    def __init__(
        self, address: str, *, timeout_seconds: float, api_key: str, tls: Tls | None
    ) -> None:
        credentials, options = _policy.credentials(api_key, tls), _policy.CHANNEL_OPTIONS
        self.grpc_channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._timeout_seconds = timeout_seconds

    def close(self) -> None:
        """Close the connection, and cancel the calls in progress."""
        self.grpc_channel.close()

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float | None = None,
    ) -> Response:
        """Send one request, and return its response."""
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as exc:
            raise decode(exc) from exc

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float,
    ) -> Iterator[Response]:
        """Send one request, and yield its responses."""
        call = method(request, timeout=timeout_seconds)
        try:
            yield from call
        except grpc.RpcError as exc:
            raise decode(exc) from exc
        finally:
            call.cancel()

    def exchange(
        self,
        method: grpc.StreamStreamMultiCallable[Request, Response],
        requests: Iterable[Request],
    ) -> Iterator[Response]:
        """Send requests, and yield their responses, without a deadline.

        An exception from `requests` ends the stream. It is raised after the responses to earlier
        requests, or instead of the error of the call.
        """
        stream = RequestStream(requests)
        call = method(stream)
        try:
            yield from call
        except grpc.RpcError as exc:
            raise stream.stop() or decode(exc) from exc
        finally:
            call.cancel()
        if (failure := stream.stop()) is not None:
            raise failure
