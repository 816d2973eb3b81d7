"""Calls of methods of a server elsewhere, over a gRPC channel."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import grpc

from service import errors
from service.api.final_status import FinalStatus
from service.api.method_calls import CallEnd, CallStart, Messages
from service.api.server import RECEIVED_BYTES
from service.api.status import status

# Options of a channel whose calls can have the largest messages.
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", RECEIVED_BYTES),
    ("grpc.max_send_message_length", RECEIVED_BYTES),
)

AUTHORIZATION = "authorization"

_Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


class ChannelCaller:
    """Calls methods over a channel.

    Args:
        channel: connects to the server.
        authorization: the header of this name for calls whose caller sends none, empty for none.
    """

    def __init__(self, channel: grpc.aio.Channel, authorization: str = "") -> None:
        self._channel = channel
        self._authorization = authorization

    async def call(self, start: CallStart, messages: Messages) -> CallEnd:
        """Run a call to its end. Its cancellation means that the caller has left."""
        service, _, name = start.method.rpartition(".")
        # A method with one message is the same on the wire as a stream with one.
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(
            f"/{service}/{name}"
        )
        call = method(metadata=self._make_metadata(start))
        final = FinalStatus(call)
        sending = asyncio.create_task(_send_requests(call, messages))
        receiving = asyncio.create_task(_receive_responses(call, final, messages))
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            # The sender fails if the transport has no valid request, or if its client has left.
            failure = await sending if sending.done() else None
            return await receiving if failure is None else failure
        finally:
            sending.cancel()
            receiving.cancel()
            call.cancel()
            await asyncio.wait({sending, receiving})

    def _make_metadata(self, start: CallStart) -> tuple[tuple[str, str | bytes], ...]:
        metadata = tuple(start.metadata)
        if self._authorization and all(name != AUTHORIZATION for name, _ in metadata):
            return (*metadata, (AUTHORIZATION, self._authorization))
        return metadata


async def _send_requests(call: _Call, messages: Messages) -> CallEnd | None:
    """Send the requests; return the error of one that is invalid, which ends the call."""
    try:
        while (request := await messages.read()) is not None:
            await call.write(request)
        await call.done_writing()
    except errors.AkinError as exc:
        return CallEnd(status(exc), ())
    except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
        # The call has ended before its last request; its status says why.
        return None
    return None


async def _receive_responses(call: _Call, final: FinalStatus, messages: Messages) -> CallEnd:
    try:
        while isinstance(response := await call.read(), bytes):
            await messages.write(response)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The server has cancelled the call.
    except grpc.aio.AioRpcError:
        pass
    return await final.wait()
