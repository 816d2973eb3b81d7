"""gRPC channel that blocks.

Everything in which blocking grpc differs from grpc.aio is in this module and in `idle.py`. They are
written by hand, as are their counterparts in `akin/_async`; all other modules of `akin._sync` are
generated. Change the counterparts together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2_grpc

from akin import _call_info, _policy
from akin._errors import decode
from akin._imports import RequestStream, Resource
from akin._policy import Tls
from akin._sync.idle import IdleTimeout

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Channel:
    """Channel whose failed calls raise AkinError.

    Attributes:
        grpc_channel: the channel for stubs.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float,
        idle_timeout_seconds: float,
        api_key: str,
        tls: Tls | None,
    ) -> None:
        credentials, options = _policy.credentials(api_key, tls), _policy.channel_options(address)
        self.grpc_channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._key_metadata = _policy.make_key_metadata(api_key)
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._idle_timeout_seconds = idle_timeout_seconds
        self._health = health_pb2_grpc.HealthStub(self.grpc_channel)

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
        info = _call_info.current()
        metadata = self._make_metadata(info)
        try:
            if info is None:
                return method(request, timeout=timeout, metadata=metadata)
            response, call = method.with_call(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as exc:
            raise decode(exc, self._address) from exc
        info.read(call.trailing_metadata())
        return response

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float,
    ) -> Iterator[Response]:
        """Send one request, and yield its responses."""
        info = _call_info.current()
        call = method(request, timeout=timeout_seconds, metadata=self._make_metadata(info))
        idle = self._watch(call)
        try:
            with idle:
                for response in call:
                    idle.restart()
                    yield response
            if info is not None:
                info.read(call.trailing_metadata())
        except grpc.RpcError as exc:
            raise idle.explain(decode(exc, self._address)) from exc
        finally:
            call.cancel()

    def exchange(
        self,
        method: grpc.StreamStreamMultiCallable[Request, Response],
        resources: Iterable[Resource],
        make_request: Callable[[list[Resource]], Request],
    ) -> Iterator[Response]:
        """Send requests of many resources, and yield the responses, without a deadline.

        An exception from `resources` ends the stream. It is raised after the responses to earlier
        requests, or instead of the error of the call.
        """
        stream = RequestStream(resources, make_request)
        del resources  # so that the stream can release them
        info = _call_info.current()
        call = method(stream, metadata=self._make_metadata(info))
        idle = self._watch(call)
        response_count = 0
        try:
            with idle:
                for response in call:
                    idle.restart()
                    response_count += 1
                    yield response
        except grpc.RpcError as exc:
            raise stream.stop() or idle.explain(decode(exc, self._address)) from exc
        finally:
            call.cancel()
            stream.close()
        stream.check_end(response_count)
        if info is not None:
            info.read(call.trailing_metadata())

    def _make_metadata(self, info: _call_info.CallInfo | None) -> tuple[tuple[str, str], ...]:
        """Return the metadata to send with a call."""
        return self._key_metadata if info is None else (*self._key_metadata, *info.sent_metadata)

    def _watch(self, call: grpc.RpcContext) -> IdleTimeout:
        check = self._health.Check  # type: ignore[attr-defined]  # missing in the published hints
        return IdleTimeout(call, check, self._address, self._idle_timeout_seconds)
