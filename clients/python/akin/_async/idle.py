"""Ends a stream whose server has become silent.

A server can need minutes for a message, for example while its embedding provider limits the rate.
Therefore, a silent server is asked for its health before the stream ends. It is written by hand, as
is its counterpart `akin/_sync/idle.py`. Change the two together.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from akin import _policy
from akin._errors import AkinError, is_connection_error, make_idle_error


class IdleTimeout:
    """Cancels a call if the server sends no message for a time and does not answer a health check.

    An asynchronous context manager around the call. The first half of the time passes before the
    health check, which has the other half to answer.

    Args:
        call: the call to cancel.
        check_health: sends a health check.
        address: address of the server, for the error.
        seconds: the idle timeout.

    Attributes:
        error: the reason of the cancellation; None if the call was not cancelled.
    """

    def __init__(
        self,
        call: grpc.aio.Call,
        check_health: grpc.aio.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ],
        address: str,
        seconds: float,
    ) -> None:
        self.error: AkinError | None = None
        self._call = call
        self._check_health = check_health
        self._address = address
        self._seconds = seconds
        self._last_message = time.monotonic()
        self._last_response = self._last_message

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()

    def restart(self) -> None:
        """Begin again, because a message has arrived."""
        self._last_message = self._last_response = time.monotonic()

    def explain(self, error: AkinError) -> AkinError:
        """Return the error to raise for the error of the call.

        gRPC can close the connection to a silent server before the idle timeout ends. Its error
        says neither which server was silent nor for how long.
        """
        if self.error is not None:
            return self.error
        silent_seconds = time.monotonic() - self._last_response
        if is_connection_error(error) and silent_seconds >= _policy.KEEPALIVE_SECONDS:
            return make_idle_error(self._address, round(silent_seconds, 1))
        return error

    async def _watch(self) -> None:
        half = self._seconds / 2
        while True:
            await asyncio.sleep(self._last_message + half - time.monotonic())
            if self._call.done():
                return  # the caller has closed the channel and keeps the iterator of the stream
            last_message = self._last_message
            if time.monotonic() < last_message + half:
                continue
            if await self._is_healthy(half):
                self._last_message = time.monotonic()
            elif last_message == self._last_message:
                self.error = make_idle_error(self._address, self._seconds)
                self._call.cancel()
                return

    async def _is_healthy(self, timeout_seconds: float) -> bool:
        """Return whether the server answers; each answer counts, even an error."""
        try:
            await self._check_health(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except grpc.RpcError as exc:
            call: grpc.Call = exc  # type: ignore[assignment]  # see akin._errors.decode
            if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return False
            # This code can also mean that gRPC has just closed the connection to a silent server.
            if call.code() is grpc.StatusCode.UNAVAILABLE:
                return True
        self._last_response = time.monotonic()
        return True
