"""What every call has in common: parsing, errors, and one canonical log line.

Handlers take and give bytes, so that what is no message, or too long a one, gets a proper status
(grpc.aio itself answers UNKNOWN and names the exception), and without the cost of interceptors,
which grpc.aio runs through anew for each call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn, Self

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from service import errors
from service.domain import limits
from service.domain.deadline import deadline
from service.rpc.status import status

# One cached logger: to ask for it in each call costs as much as to write a line.
_LOG = structlog.get_logger()

Context = grpc.aio.ServicerContext[bytes, bytes]


class Gate:
    """Lets calls in and counts them; closed while the service starts."""

    def __init__(self) -> None:
        self.open = False
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self) -> None:
        """Counts a call that starts."""
        self._inside += 1
        self._empty.clear()

    def leave(self) -> None:
        """Counts a call that ends."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    async def idle(self) -> None:
        """Waits until no call is under way."""
        await self._empty.wait()


def method_handlers(
    service: ServiceDescriptor, servicer: object, gate: Gate
) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    """The handlers of every method of `service`, by name, each calling its namesake in `servicer`.

    A unary method takes a request and returns a response; a streaming one takes an async iterator
    of requests and yields responses. Both may raise AkinError.
    """
    return {
        method.name: _handler(method, getattr(servicer, method.name), gate)
        for method in service.methods
    }


def _handler(
    method: MethodDescriptor, serve: Callable[..., Any], gate: Gate
) -> grpc.RpcMethodHandler[bytes, bytes]:
    request_class: type[Message] = GetMessageClass(method.input_type)

    async def unary(data: bytes, context: Context) -> bytes:
        async with _Call(method.name, context, gate) as call:
            call.let_in()
            return call.sent(await serve(call.received(request_class, data)))

    async def stream(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async with _Call(method.name, context, gate) as call:
            call.let_in()
            requests = (call.received(request_class, data) async for data in messages)
            async for response in serve(requests):
                yield call.sent(response)

    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(stream)
    return grpc.unary_unary_rpc_method_handler(unary)


class _Call:
    """One call under way: counts its bytes, ends it with a status, and logs it."""

    def __init__(self, method: str, context: Context, gate: Gate) -> None:
        self._gate = gate
        self._method = method
        self._context = context
        self._started = time.perf_counter()
        left = context.time_remaining()
        deadline.set(None if left is None else time.monotonic() + left)
        self._request_bytes = 0
        self._response_bytes = 0

    def let_in(self) -> None:
        """Raises NotReady while the service starts."""
        if not self._gate.open:
            raise errors.NotReady("the service is starting")

    def received(self, request_class: type[Message], data: bytes) -> Message:
        """Parses a request.

        Raises:
            InvalidRequest: it is no such message, or too long.
        """
        self._request_bytes += len(data)
        if len(data) > limits.MESSAGE_BYTES:
            raise errors.invalid("message", f"must be at most {limits.MESSAGE_BYTES} bytes")
        try:
            return request_class.FromString(data)
        except DecodeError:
            description = f"must be a {request_class.DESCRIPTOR.full_name} with strings in UTF-8"
            raise errors.invalid("message", description) from None

    def sent(self, response: Message) -> bytes:
        """Serialises a response.

        Raises:
            AnswerTooLarge: it does not fit into one message.
        """
        data = response.SerializeToString()
        if len(data) > limits.MESSAGE_BYTES:
            raise errors.AnswerTooLarge(
                f"the answer exceeds {limits.MESSAGE_BYTES} bytes: ask for fewer items, or for ids"
            )
        self._response_bytes += len(data)
        return data

    async def __aenter__(self) -> Self:
        self._gate.enter()
        return self

    async def __aexit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        try:
            await self._end(exc)
        finally:
            self._gate.leave()

    async def _end(self, exc: BaseException | None) -> None:
        if exc is None:
            self._log(code_pb2.OK)
        elif isinstance(exc, asyncio.CancelledError | GeneratorExit):
            self._log(code_pb2.CANCELLED)
        elif isinstance(exc, errors.AkinError):
            await self._abort(exc)
        elif isinstance(exc, Exception) and not isinstance(exc, grpc.aio.AbortError):
            _LOG.error("call_failed", method=self._method, exc_info=exc)
            self._log(code_pb2.INTERNAL)
            await self._context.abort(grpc.StatusCode.INTERNAL, "internal error")

    async def _abort(self, error: errors.AkinError) -> NoReturn:
        made = status(error)
        self._log(made.code, error.reason)
        await self._context.abort(
            _STATUS_CODES[made.code],
            made.message,
            (("grpc-status-details-bin", made.SerializeToString()),),
        )

    def _log(self, code: int, reason: str | None = None) -> None:
        _LOG.info(
            "call",
            method=self._method,
            code=code_pb2.Code.Name(code),
            reason=reason,
            ms=round((time.perf_counter() - self._started) * 1000, 3),
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
        )


_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
