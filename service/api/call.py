"""The pipeline of every call: admission, authorization, parsing, errors, and one log line."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from typing import Any, NamedTuple, NoReturn, Protocol, Self, cast

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2

from service import errors
from service.api.admission import AdmissionControl, CallKind
from service.api.auth import Access, Scope
from service.api.load_shedding import LoadShedder
from service.api.message_stream import Context, MessageStream, OpenStreams
from service.api.request_ids import REQUEST_ID, read_request_id
from service.api.request_memory import RequestMemory
from service.api.status import overload_status, status
from service.domain import limits
from service.telemetry import call_context
from service.telemetry.call_context import Timing, deadline
from service.telemetry.call_log import CallRecord, call_log
from service.telemetry.calls import CallTelemetry

# One cached logger: to look it up in each call costs as much as to write a line.
_LOG = structlog.get_logger()

SERVER_TIMING = "server-timing"

# Tells clients that retry by themselves how long to wait, in milliseconds.
PUSHBACK = "grpc-retry-pushback-ms"

# The longest pushback; a longer wait is sent as -1: do not retry.
PUSHBACK_SECONDS = 5.0

# A message that the transport has made, of the lines of an import, waits for the rate of its key,
# but not longer than this.
RATE_WAIT_SECONDS = 60.0

# A status travels behind the responses. A client that does not read them holds a call no longer.
STATUS_SECONDS = 5.0


class Authorizer(Protocol):
    """Knows callers by their `authorization` header, and what each may do."""

    def authenticate(self, authorization: str | None) -> str:
        """Return the caller's name, or raise Unauthenticated."""
        ...

    def charge(self, authorization: str | None, scope: Scope) -> None:
        """Count a call, or raise Unauthenticated, PermissionDenied or RateLimited."""
        ...

    def charge_more(self, authorization: str | None, calls: int) -> None:
        """Count further calls of one message, or raise Unauthenticated."""
        ...

    def authorize(self, authorization: str | None, access: Access) -> None:
        """Return, or raise Unauthenticated or PermissionDenied."""
        ...


class Pipeline(NamedTuple):
    """What the calls of all methods share; without an authorizer, every call is authorized."""

    admission: AdmissionControl
    shedder: LoadShedder
    memory: RequestMemory
    authorizer: Authorizer | None
    telemetry: CallTelemetry
    streams: OpenStreams


class Method(NamedTuple):
    """What the calls of one method share."""

    full_name: str
    name: str
    request_class: type[Message]
    scope: Scope
    names_catalog: bool
    kind: CallKind
    admission: AdmissionControl
    shedder: LoadShedder
    memory: RequestMemory
    authorizer: Authorizer | None
    telemetry: CallTelemetry
    streams: OpenStreams


class CallerLeft(Exception):
    """Nobody waits for the answer to the call, so that it does no work."""


class Call:
    """A call in progress: counts its bytes, ends it with a status, and logs it."""

    def __init__(self, method: Method, context: Context) -> None:
        self._method = method
        self._context = context
        self._authorization: str | None = None
        self._key: str | None = None
        self._metadata = tuple(context.invocation_metadata() or ())
        self._request_id = read_request_id(self._metadata)
        self._started = time.perf_counter()
        remaining = context.time_remaining()
        deadline.set(None if remaining is None else time.monotonic() + remaining)
        self._is_counted = False
        self._has_started = False
        self._has_parsed = False
        self._held_sizes: deque[int] = deque()
        self._request_bytes = 0
        self._response_bytes = 0

    async def admit(self) -> None:
        """Admit the call before its request is received; a refused call has a trace as well.

        Raises:
            NotReady: the server is starting or shutting down.
            Unauthenticated, PermissionDenied, RateLimited: the caller may not make the call.
            Overloaded: too many calls are in progress, or more arrive than can be served.
            CallerLeft: the deadline of the call has passed.
        """
        method = self._method
        tracing = method.telemetry.tracing
        self._timing = tracing.begin_call(method.full_name, self._metadata) if tracing else Timing()
        call_context.set_timing(self._timing)
        await method.admission.check_open()
        if self._context.peer().startswith("unix:"):
            # The socket for probes bypasses the server's check of certificates.
            raise errors.Unauthenticated("this socket is only for the server itself")
        self._authenticate()
        method.admission.enter(method.kind, self._key)
        self._is_counted = True
        if method.kind is CallKind.CALL:
            await method.shedder.start(self._identify_caller, self._context.time_remaining())
            self._has_started = True
            call_context.set_suspension(method.shedder.suspend)
        else:
            method.shedder.refuse_low_priority()
        if self._context.time_remaining() == 0:
            raise CallerLeft

    def _authenticate(self) -> None:
        authorizer = self._method.authorizer
        if authorizer is None:
            return
        for name, value in self._metadata:
            if name == "authorization" and isinstance(value, str):
                self._authorization = value
        self._key = authorizer.authenticate(self._authorization)
        authorizer.charge(self._authorization, self._method.scope)

    def _identify_caller(self) -> str:
        """Return the name of the key, or the address of the connection if there are no keys."""
        return self._context.peer() if self._key is None else self._key

    async def receive_only(self) -> Message:
        """Return the only request of the call.

        Raises:
            Overloaded: there was no room for the message, or it arrived too slowly.
            AkinError: as `parse` raises it.
        """
        receive = self._method.memory.receive
        data = await self._hold(receive(self._context.read, self._identify_caller))
        if data is None:
            raise errors.invalid_field("message", "must be sent")
        return self.parse(data)

    async def receive_next(self, messages: MessageStream) -> Message | None:
        """Return the next request of a stream, None at its end; slowly during overload.

        Raises:
            RateLimited: the caller has sent too many messages.
            AkinError: as `parse` raises it.
        """
        if self._has_parsed:
            await self._method.shedder.pause()
        receive = self._method.memory.receive_next
        data = await self._hold(receive(messages.read, self._identify_caller))
        if data is None:
            return None
        if self._has_parsed:
            await self._charge_further()
        return self.parse(data)

    async def _charge_further(self) -> None:
        """Charge a further message of a stream: the key may have been revoked.

        Raises:
            Unauthenticated, PermissionDenied, RateLimited: the caller may not send the message.
        """
        authorizer = self._method.authorizer
        if authorizer is None:
            return
        # Callers that do not make the messages cannot send fewer.
        seconds = RATE_WAIT_SECONDS if getattr(self._context, "makes_messages", False) else 0.0
        end = time.monotonic() + seconds
        while True:
            try:
                authorizer.charge(self._authorization, self._method.scope)
            except errors.RateLimited as exc:
                delay = exc.retry_after_seconds or 0.0
                if time.monotonic() + delay > end:
                    raise
            else:
                return
            await asyncio.sleep(delay)

    async def _hold(self, received: Awaitable[bytes]) -> bytes | None:
        """Return the next message, whose memory is held until it is released; None at the end."""
        # grpc.aio gives the end of the stream a value of its own.
        data: Any = await received
        if not isinstance(data, bytes):
            return None
        self._held_sizes.append(len(data))
        return data

    def release_oldest(self) -> None:
        """Give back the memory of the oldest request, because it was answered."""
        if self._held_sizes:
            self._method.memory.release(self._held_sizes.popleft())

    def parse(self, data: bytes) -> Message:
        """Return the request in a message.

        Raises:
            InvalidRequest: the message is malformed or too large.
            Unauthenticated, PermissionDenied: the caller may not make the request.
        """
        request_class = self._method.request_class
        self._request_bytes += len(data)
        if len(data) > limits.MESSAGE_BYTES:
            raise errors.invalid_field("message", f"must be at most {limits.MESSAGE_BYTES} bytes")
        try:
            request: Any = request_class.FromString(data)
        except DecodeError:
            description = f"must be a {request_class.DESCRIPTOR.full_name} with strings in UTF-8"
            raise errors.invalid_field("message", description) from None
        authorizer = self._method.authorizer
        if authorizer is not None:
            catalog = request.catalog if self._method.names_catalog else None
            authorizer.authorize(self._authorization, Access(self._method.scope, catalog))
            if self._method.kind is CallKind.BATCH:
                # The first query was charged with the call, and those beyond the limit are no work.
                further = min(len(request.queries), limits.BATCH_QUERIES) - 1
                authorizer.charge_more(self._authorization, max(further, 0))
        self._has_parsed = True
        return cast("Message", request)

    def serialize(self, response: Message) -> bytes:
        """Return the message of a response.

        Raises:
            AnswerTooLarge: it exceeds the maximum size of a message.
        """
        data = response.SerializeToString()
        if len(data) > limits.MESSAGE_BYTES:
            raise errors.AnswerTooLarge(
                f"the response exceeds {limits.MESSAGE_BYTES} bytes: "
                "request fewer items, or only their ids, and do not set include_vectors"
            )
        self._response_bytes += len(data)
        return data

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        del trace  # see `_abort`
        method = self._method
        try:
            await self._end(exc)
        finally:
            while self._held_sizes:
                self.release_oldest()
            if self._has_started:
                method.shedder.end()
            if self._is_counted:
                method.admission.leave(method.kind, self._key)

    async def _end(self, exc: BaseException | None) -> None:
        if exc is None:
            self._context.set_trailing_metadata(
                ((REQUEST_ID, self._request_id), (SERVER_TIMING, self._format_timing()))
            )
            self._record(self._departure_code() or code_pb2.OK)
        elif isinstance(exc, asyncio.CancelledError | GeneratorExit):
            self._record(self._departure_code() or code_pb2.CANCELLED)
        elif isinstance(exc, errors.AkinError):
            await self._abort(exc)
        elif isinstance(exc, CallerLeft):
            self._record(code_pb2.DEADLINE_EXCEEDED)
            await self._context.abort(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "the deadline passed before the call started",
                ((REQUEST_ID, self._request_id),),
            )
        elif isinstance(exc, Exception) and not isinstance(exc, grpc.aio.AbortError):
            name = self._method.name
            _LOG.error("call_failed", method=name, request_id=self._request_id, exc_info=exc)
            self._record(code_pb2.INTERNAL)
            metadata = ((REQUEST_ID, self._request_id),)
            await self._context.abort(grpc.StatusCode.INTERNAL, "internal error", metadata)

    def _departure_code(self) -> int:
        """Return the status that the caller saw if it left early, otherwise 0."""
        remaining = self._context.time_remaining()
        if remaining is not None and remaining <= 0:
            return int(code_pb2.DEADLINE_EXCEEDED)
        return int(code_pb2.CANCELLED) if self._context.cancelled() else 0

    async def _abort(self, error: errors.AkinError) -> NoReturn:
        if isinstance(error, errors.Overloaded):
            rpc_status = overload_status(error.message)
        else:
            rpc_status = status(error)
        self._record(rpc_status.code, error.reason)
        if rpc_status.code == code_pb2.RESOURCE_EXHAUSTED:
            method = self._method
            method.telemetry.metrics.refused_calls.labels(method.name, error.reason).inc()
        metadata: list[tuple[str, str | bytes]] = [
            (REQUEST_ID, self._request_id),
            ("grpc-status-details-bin", rpc_status.SerializeToString()),
        ]
        if error.retry_after_seconds is not None and rpc_status.code == code_pb2.UNAVAILABLE:
            metadata.append((PUSHBACK, _format_pushback(error.retry_after_seconds)))
        # gRPC keeps the exceptions of the call in a reference cycle. Without their frames, it does
        # not keep the request: 60 of 14 MiB took 800 MB until the garbage collector ran.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        code = _STATUS_CODES[rpc_status.code]
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                await self._context.abort(code, rpc_status.message, tuple(metadata))
        except grpc.aio.AbortError as abort:
            _drop_frames_at_end(abort)
            raise
        except TimeoutError:
            # The client gets the status when it reads. grpc.aio logs other exceptions as failures.
            raise asyncio.CancelledError from None

    def _format_timing(self) -> str:
        """Return the duration of each stage as a Server-Timing header (W3C)."""
        total_seconds = time.perf_counter() - self._started
        stages = (*self._timing.seconds.items(), ("total", total_seconds))
        return ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in stages)

    def _record(self, code: int, reason: str | None = None) -> None:
        seconds = time.perf_counter() - self._started
        name, telemetry = self._method.name, self._method.telemetry
        code_name = code_pb2.Code.Name(code)
        telemetry.metrics.observe_call(name, code_name, seconds)
        if telemetry.tracing is not None:
            telemetry.tracing.end_call(self._timing, code)
        call_log.add(
            CallRecord(
                name,
                self._request_id,
                self._key,
                code_name,
                reason,
                round(1000 * seconds, 3),
                self._request_bytes,
                self._response_bytes,
            )
        )


def _drop_frames_at_end(error: BaseException) -> None:
    """Drop the frames of an exception at the end of its task.

    gRPC keeps it in a reference cycle, and its frames keep the call. The 45 objects of each failed
    call were left to the garbage collector, which stopped all calls for up to 0.2 s under overload.
    """
    task = asyncio.current_task()
    if task is not None:
        task.add_done_callback(lambda _: setattr(error, "__traceback__", None))


def _format_pushback(seconds: float) -> str:
    return str(int(1000 * seconds)) if seconds <= PUSHBACK_SECONDS else "-1"


_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
