"""Makes calls of bytes, and returns how they ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import status_pb2

from fuzz.calls import Call

OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
)

DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        code: the status, as the caller sees it.
        message: the error message.
        status: the status with its details, empty if the server sent none.
        responses: the messages of the server.
        cancelled: whether the caller cancelled the call.
        seconds: how long the call took.
    """

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status
    responses: tuple[bytes, ...]
    cancelled: bool
    seconds: float


class Sender:
    """Makes calls through two channels to one server.

    Streams use the blocking client. The one for asyncio reports INTERNAL instead of the server's
    status if the server ends a call before it has all requests.
    """

    def __init__(self, channel: grpc.aio.Channel, blocking_channel: grpc.Channel) -> None:
        self._channel = channel
        self._blocking_channel = blocking_channel

    async def send(self, call: Call) -> Outcome:
        """Make a call, and wait for its end."""
        started = time.perf_counter()
        if len(call.requests) == 1 and not call.method.server_streaming:
            running, responses = await self._send_one(call)
            code, details = await running.code(), await running.details()
            trailers = await running.trailing_metadata()
        else:
            running, responses = await asyncio.to_thread(self._send_many, call)
            code, details, trailers = running.code(), running.details(), running.trailing_metadata()
        return Outcome(
            code=code,
            message=details or "",
            status=_read_status(trailers),
            responses=tuple(responses),
            cancelled=running.cancelled(),
            seconds=time.perf_counter() - started,
        )

    async def _send_one(self, call: Call) -> tuple[Any, list[bytes]]:
        method: Any = self._channel.unary_unary(call.method.path)
        running = method(call.requests[0], **_options(call))
        loop = asyncio.get_running_loop()
        timer = call.cancel_seconds is not None and loop.call_later(
            call.cancel_seconds, running.cancel
        )
        try:
            return running, [await running]
        except grpc.aio.AioRpcError:
            return running, []
        except asyncio.CancelledError:
            if not running.cancelled():
                raise
            return running, []
        finally:
            if timer:
                timer.cancel()

    def _send_many(self, call: Call) -> tuple[Any, list[bytes]]:
        """Make a call with any number of requests; on the wire all methods are alike."""
        method: Any = self._blocking_channel.stream_stream(call.method.path)
        running = method(iter(call.requests), **_options(call))
        timer = None
        if call.cancel_seconds is not None:
            timer = threading.Timer(call.cancel_seconds, running.cancel)
            timer.start()
        responses = []
        try:
            for response in running:
                responses.append(response)
                if call.method.endless:
                    running.cancel()
        except grpc.RpcError:
            pass  # `running` has its code
        finally:
            if timer is not None:
                timer.cancel()
        return running, responses


@asynccontextmanager
async def open_sender(address: str) -> AsyncIterator[Sender]:
    """Connect to a server."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        with grpc.insecure_channel(address, options=OPTIONS) as blocking_channel:
            yield Sender(channel, blocking_channel)


def _options(call: Call) -> dict[str, Any]:
    return {
        "timeout": call.timeout_seconds,
        "metadata": call.metadata,
        "compression": call.compression,
    }


def _read_status(trailers: Any) -> status_pb2.Status:
    for key, value in trailers or ():
        if key == DETAILS and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
