"""Calls of methods in this process, through the same pipeline as those that come over gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol, TypeAlias, cast

import grpc
from google.rpc import code_pb2, status_pb2

from service.api.load_shedding import LoadShedder

DETAILS = "grpc-status-details-bin"

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
_Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"


class CallStart(NamedTuple):
    """What is known of a call before its first request.

    Attributes:
        method: the full name, such as `akin.v1.RecommenderService.GetItem`.
        metadata: the caller's metadata, with names in lower case.
        peer: the caller's address, as gRPC writes it.
    """

    method: str
    metadata: Metadata
    peer: str


class Messages(Protocol):
    """The messages of one call, which the transport of the caller receives and sends."""

    async def read(self) -> bytes | None:
        """Return the next request, None after the last one.

        Raises:
            AkinError: the transport received no valid request. The call ends with this error.
        """
        ...

    async def write(self, message: bytes) -> None:
        """Send a response."""
        ...


class CallEnd(NamedTuple):
    """How a call has ended.

    Attributes:
        status: the status with its details.
        metadata: the trailing metadata, without the details.
    """

    status: status_pb2.Status
    metadata: Metadata


class MethodCaller(Protocol):
    """Calls methods of the services, in this process or elsewhere."""

    async def call(self, start: CallStart, messages: Messages) -> CallEnd:
        """Run a call to its end. Its cancellation means that the caller has left."""
        ...


@dataclass
class _CallContext:
    """What the pipeline asks of a call's context of grpc.aio. The call has no deadline.

    `makes_messages` says that the transport, and not the caller, makes the messages of a stream.
    """

    start: CallStart
    messages: Messages
    trailers: Metadata = ()
    end: CallEnd | None = None
    makes_messages: bool = True

    def invocation_metadata(self) -> Metadata:
        return self.start.metadata

    def peer(self) -> str:
        return self.start.peer

    def time_remaining(self) -> None:
        return None

    def cancelled(self) -> bool:
        """Return false: the task of a call whose caller has left is cancelled."""
        return False

    async def read(self) -> bytes:
        message = await self.messages.read()
        # grpc.aio gives the end of the stream a value of its own.
        return cast("bytes", grpc.aio.EOF) if message is None else message

    async def write(self, message: bytes) -> None:
        await self.messages.write(message)

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        self.trailers = metadata

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> NoReturn:
        self.end = make_call_end(code.value[0], details, trailing_metadata)
        raise grpc.aio.AbortError


class InProcessCaller:
    """Calls the handlers of a server's methods directly.

    Args:
        handlers: the handlers, by the path of their method in gRPC.
        shedder: counts the calls.
    """

    def __init__(self, handlers: Mapping[str, _Handler], shedder: LoadShedder) -> None:
        self._handlers = handlers
        self._shedder = shedder

    async def call(self, start: CallStart, messages: Messages) -> CallEnd:
        """Run a call to its end. Its cancellation means that the caller has left."""
        service, _, name = start.method.rpartition(".")
        handler = self._handlers[f"/{service}/{name}"]
        context = _CallContext(start, messages)
        try:
            await self._run(handler, context)
        except grpc.aio.AbortError:
            if context.end is None:
                raise
            return context.end
        return make_call_end(code_pb2.OK, "", context.trailers)

    async def _run(self, handler: Any, context: _CallContext) -> None:  # noqa: ANN401 (no types)
        if handler.response_streaming:
            await handler.stream_stream(None, context)
        else:
            with self._shedder.count_unqueued():
                response = await handler.stream_unary(None, context)
            await context.write(response)


def make_call_end(code: int, message: str, trailers: Metadata) -> CallEnd:
    """Return how a call has ended, with the details that its trailing metadata contains."""
    status = status_pb2.Status(code=code, message=message)
    for name, value in trailers:
        if name == DETAILS and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
    return CallEnd(status, tuple(entry for entry in trailers if entry[0] != DETAILS))
