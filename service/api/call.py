"""What every call has in common: parsing, errors, and one canonical log line.

Handlers take and give bytes, so that what is no message, or too long a one, gets a proper status
(grpc.aio itself answers UNKNOWN and names the exception), and without the cost of interceptors,
which grpc.aio runs through anew for each call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, NoReturn, Protocol, Self, cast

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from service import errors
from service.api.admission import AdmissionControl
from service.api.auth import Access, Scope
from service.api.scopes import SCOPES
from service.api.status import status
from service.domain import limits
from service.telemetry import call_context
from service.telemetry.call_context import Timing, deadline

# One cached logger: to ask for it in each call costs as much as to write a line.
_LOG = structlog.get_logger()

SERVER_TIMING = "server-timing"

Context = grpc.aio.ServicerContext[bytes, bytes]


class Authorizer(Protocol):
    """Knows callers by their `authorization` header, and what each may do."""

    def known(self, authorization: str | None) -> str:
        """The caller's name, or Unauthenticated."""
        ...

    def opened(self, authorization: str | None, scope: Scope) -> None:
        """Raises Unauthenticated, PermissionDenied or RateLimited."""
        ...

    def allowed(self, authorization: str | None, access: Access) -> None:
        """Raises Unauthenticated or PermissionDenied."""
        ...


class Watch(Protocol):
    """Watches calls, for metrics and traces."""

    def begin(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Timing:
        """A call of a method, by full name, begins."""
        ...

    def end(self, trace: Timing, method: str, code: int, seconds: float) -> None:
        """It ends with a gRPC status code."""
        ...


PUSHBACK = "grpc-retry-pushback-ms"
PUSHBACK_SECONDS = 5.0
"""Clients that retry by themselves wait as long as we say; where it is longer, they leave it."""


def method_handlers(
    service: ServiceDescriptor,
    servicer: object,
    admission: AdmissionControl,
    authorizer: Authorizer,
    watch: Watch,
) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    """The handlers of every method of `service`, by name, each calling its namesake in `servicer`.

    A unary method takes a request and returns a response; one that streams both ways takes an async
    iterator of requests and yields responses; one that streams only these takes a request. All may
    raise AkinError.
    """
    return {
        method.name: _handler(method, getattr(servicer, method.name), admission, authorizer, watch)
        for method in service.methods
    }


def _handler(
    method: MethodDescriptor,
    serve: Callable[..., Any],
    admission: AdmissionControl,
    authorizer: Authorizer,
    watch: Watch,
) -> grpc.RpcMethodHandler[bytes, bytes]:
    kind = _Kind(
        method.full_name,
        method.name,
        GetMessageClass(method.input_type),
        SCOPES[method.full_name],
        "catalog" in method.input_type.fields_by_name,
        method.client_streaming or method.server_streaming,
        admission,
        authorizer,
        watch,
    )

    async def unary(data: bytes, context: Context) -> bytes:
        async with _Call(kind, context) as call:
            call.let_in()
            return call.sent(await serve(call.received(data)))

    async def stream(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async with _Call(kind, context) as call:
            call.let_in()
            requests = (call.received(data) async for data in messages)
            async for response in serve(requests):
                yield call.sent(response)

    async def replies(data: bytes, context: Context) -> AsyncIterator[bytes]:
        async with _Call(kind, context) as call:
            call.let_in()
            async with aclosing(serve(call.received(data))) as responses:
                async for response in responses:
                    yield call.sent(response)

    if method.server_streaming and not method.client_streaming:
        return grpc.unary_stream_rpc_method_handler(replies)
    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(stream)
    return grpc.unary_unary_rpc_method_handler(unary)


class _Kind(NamedTuple):
    """What the calls of one method have in common."""

    full_name: str
    method: str
    request_class: type[Message]
    scope: Scope
    names_catalog: bool
    stream: bool
    admission: AdmissionControl
    authorizer: Authorizer
    watch: Watch


class _Call:
    """One call under way: counts its bytes, ends it with a status, and logs it."""

    def __init__(self, kind: _Kind, context: Context) -> None:
        self._kind = kind
        self._context = context
        self._authorization: str | None = None
        self._key: str | None = None
        self._metadata = tuple(context.invocation_metadata() or ())
        self._trace = kind.watch.begin(kind.full_name, self._metadata)
        call_context.set_timing(self._trace)
        self._started = time.perf_counter()
        left = context.time_remaining()
        deadline.set(None if left is None else time.monotonic() + left)
        self._received = False
        self._request_bytes = 0
        self._response_bytes = 0

    def let_in(self) -> None:
        """Lets the call in before anything of it is looked at.

        Raises:
            NotReady: the service starts.
            Overloaded: too many calls are under way.
            Unauthenticated, PermissionDenied, RateLimited: the caller may make no such call.
        """
        self._kind.admission.check(stream=self._kind.stream)
        for name, value in self._metadata:
            if name == "authorization" and isinstance(value, str):
                self._authorization = value
        self._key = self._kind.authorizer.known(self._authorization) or None
        self._kind.authorizer.opened(self._authorization, self._kind.scope)

    def received(self, data: bytes) -> Message:
        """Parses a request.

        Raises:
            InvalidRequest: it is no such message, or too long.
            Unauthenticated, PermissionDenied, RateLimited: the caller may not ask so.
        """
        request_class = self._kind.request_class
        self._request_bytes += len(data)
        if len(data) > limits.MESSAGE_BYTES:
            raise errors.invalid_field("message", f"must be at most {limits.MESSAGE_BYTES} bytes")
        try:
            request: Any = request_class.FromString(data)
        except DecodeError:
            description = f"must be a {request_class.DESCRIPTOR.full_name} with strings in UTF-8"
            raise errors.invalid_field("message", description) from None
        if self._received:
            # Of a stream, each message anew: a key may have been taken back meanwhile.
            self._kind.authorizer.opened(self._authorization, self._kind.scope)
        self._received = True
        catalog = request.catalog if self._kind.names_catalog else None
        self._kind.authorizer.allowed(self._authorization, Access(self._kind.scope, catalog))
        return cast("Message", request)

    def sent(self, response: Message) -> bytes:
        """Serializes a response.

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
        self._kind.admission.enter(stream=self._kind.stream)
        return self

    async def __aexit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        try:
            await self._end(exc)
        finally:
            self._kind.admission.leave(stream=self._kind.stream)

    async def _end(self, exc: BaseException | None) -> None:
        if exc is None:
            self._context.set_trailing_metadata(((SERVER_TIMING, self._timing()),))
            self._log(self._left() or code_pb2.OK)
        elif isinstance(exc, asyncio.CancelledError | GeneratorExit):
            self._log(self._left() or code_pb2.CANCELLED)
        elif isinstance(exc, errors.AkinError):
            await self._abort(exc)
        elif isinstance(exc, Exception) and not isinstance(exc, grpc.aio.AbortError):
            _LOG.error("call_failed", method=self._kind.method, exc_info=exc)
            self._log(code_pb2.INTERNAL)
            await self._context.abort(grpc.StatusCode.INTERNAL, "internal error")

    def _left(self) -> int:
        """The status that a caller has seen who did not wait for the end; 0 if they did."""
        left = self._context.time_remaining()
        if left is not None and left <= 0:
            return int(code_pb2.DEADLINE_EXCEEDED)
        return int(code_pb2.CANCELLED) if self._context.cancelled() else 0

    async def _abort(self, error: errors.AkinError) -> NoReturn:
        made = status(error)
        self._log(made.code, error.reason)
        metadata: list[tuple[str, str | bytes]] = [
            ("grpc-status-details-bin", made.SerializeToString())
        ]
        if error.retry_after_seconds is not None and made.code == code_pb2.UNAVAILABLE:
            metadata.append((PUSHBACK, _pushback(error.retry_after_seconds)))
        await self._context.abort(_STATUS_CODES[made.code], made.message, tuple(metadata))

    def _timing(self) -> str:
        """What took how long, as in the header of this name (W3C Server Timing)."""
        whole = time.perf_counter() - self._started
        took = (*self._trace.seconds.items(), ("total", whole))
        return ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in took)

    def _log(self, code: int, reason: str | None = None) -> None:
        seconds = time.perf_counter() - self._started
        self._kind.watch.end(self._trace, self._kind.method, code, seconds)
        _LOG.info(
            "call",
            method=self._kind.method,
            key=self._key,
            code=code_pb2.Code.Name(code),
            reason=reason,
            ms=round(1000 * seconds, 3),
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
        )


def _pushback(seconds: float) -> str:
    return str(int(1000 * seconds)) if seconds <= PUSHBACK_SECONDS else "-1"


_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
