"""gRPC channel for asyncio.

Everything in which grpc.aio differs from blocking grpc is in this module and in `idle.py`. They are
written by hand, as are their counterparts in `akin/_sync`; all other modules of `akin._sync` are
generated. Change the counterparts together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2_grpc

from akin import _call_info, _policy
from akin._async.idle import IdleTimeout
from akin._errors import decode, make_early_end_error
from akin._imports import RequestStream, Resource
from akin._policy import Tls

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

# How grpc.aio describes a message that it could not send because the call has ended.
_SEND_FAILED = "Internal error from Core"

# Bound the wait for the status of a call that has ended.
_STATUS_CHECKS = 100
_STATUS_PAUSE_SECONDS = 0.01


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
            grpc.aio.insecure_channel(address, options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options)
        )
        self._key_metadata = _policy.make_key_metadata(api_key)
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._idle_timeout_seconds = idle_timeout_seconds
        self._health = health_pb2_grpc.HealthStub(self.grpc_channel)

    async def close(self) -> None:
        """Close the connection, and cancel the calls in progress."""
        await self.grpc_channel.close()

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float | None = None,
    ) -> Response:
        """Send one request, and return its response."""
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        info = _call_info.current()
        metadata = self._make_metadata(info)
        try:
            if info is None:
                return await method(request, timeout=timeout, metadata=metadata)
            call = method(request, timeout=timeout, metadata=metadata)
            response = await call
        except grpc.RpcError as exc:
            raise decode(exc, self._address) from exc
        info.read(await call.trailing_metadata())
        return response

    async def stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float,
    ) -> AsyncIterator[Response]:
        """Send one request, and yield its responses."""
        info = _call_info.current()
        call = method(request, timeout=timeout_seconds, metadata=self._make_metadata(info))
        idle = self._watch(call)
        try:
            async with idle:
                async for response in call:
                    idle.restart()
                    yield response
            if info is not None:
                info.read(await call.trailing_metadata())
        except asyncio.CancelledError:
            if idle.error is not None:
                raise idle.error from None
            raise
        except grpc.RpcError as exc:
            raise idle.explain(decode(exc, self._address)) from exc
        finally:
            call.cancel()

    async def exchange(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Response],
        resources: Iterable[Resource],
        make_request: Callable[[list[Resource]], Request],
    ) -> AsyncIterator[Response]:
        """Send requests of many resources, and yield the responses, without a deadline.

        An exception from `resources` ends the stream. It is raised after the responses to earlier
        requests, or instead of the error of the call.
        """
        stream = RequestStream(resources, make_request)
        del resources  # so that the stream can release them
        info = _call_info.current()
        call = method(stream, metadata=self._make_metadata(info))
        final_status = _FinalStatus(call)
        idle = self._watch(call)
        response_count = 0
        try:
            async with idle:
                async for response in call:
                    idle.restart()
                    response_count += 1
                    yield response
        except asyncio.CancelledError:
            if idle.error is not None:
                raise stream.stop() or idle.error from None
            raise
        except grpc.RpcError as exc:
            status = await final_status.wait()
            if status is None or status.code() is grpc.StatusCode.OK:
                error = make_early_end_error()
            else:
                error = idle.explain(decode(status, self._address))
            raise stream.stop() or error from exc
        finally:
            call.cancel()
            stream.close()
        stream.check_end(response_count)
        if info is not None:
            info.read(await call.trailing_metadata())

    def _make_metadata(self, info: _call_info.CallInfo | None) -> tuple[tuple[str, str], ...]:
        """Return the metadata to send with a call."""
        return self._key_metadata if info is None else (*self._key_metadata, *info.sent_metadata)

    def _watch(self, call: grpc.aio.Call) -> IdleTimeout:
        check = self._health.Check  # type: ignore[attr-defined]  # missing in the published hints
        return IdleTimeout(call, check, self._address, self._idle_timeout_seconds)


class _FinalStatus:
    """The status with which a call has ended, which can be OK.

    If the call ends while grpc.aio sends a message, grpc.aio replaces the status with an error of
    its own, or raises that error before the status arrives.

    Args:
        call: the call, whose status is read when it arrives.
    """

    def __init__(self, call: grpc.aio.Call) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._read)

    async def wait(self) -> grpc.aio.AioRpcError | None:
        """Wait for the status of a call that has ended. None means that it does not arrive."""
        status = self._first
        for _ in range(_STATUS_CHECKS):
            if status is not None and status.details() != _SEND_FAILED:
                return status
            # grpc.aio does not call back when the status replaces its own error.
            await asyncio.sleep(_STATUS_PAUSE_SECONDS)
            status = await _make_error(self._call)
        return None

    def _read(self, call: grpc.aio.Call) -> None:
        """Read the status, which is present. A task would run too late, after its replacement."""
        try:
            _make_error(call).send(None)
        except StopIteration as result:
            self._first = result.value


async def _make_error(call: grpc.aio.Call) -> grpc.aio.AioRpcError:
    """Return the present status of a call that has ended, without waiting."""
    return grpc.aio.AioRpcError(
        await call.code(),
        await call.initial_metadata(),
        await call.trailing_metadata(),
        await call.details(),
    )
