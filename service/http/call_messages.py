"""The messages of a call with one request, made from an HTTP request."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from service import errors
from service.api.call import SERVER_TIMING
from service.api.method_calls import CallEnd
from service.domain import limits
from service.http.conversions import Conversions, estimate_document_values, estimate_message_values
from service.http.json_messages import encode_message
from service.http.request_body import RequestBody
from service.http.response_writer import JSON, NDJSON, ResponseWriter
from service.http.routes import Route
from service.http.statuses import write_status
from service.http.transcoding import make_request

# The name of a whole request in errors, as over gRPC.
MESSAGE = "message"


class IncomingCall(NamedTuple):
    """A call as it comes over HTTP.

    Attributes:
        route: the route of its path and verb.
        values: the values of the fields in the path, percent-encoded.
        query: the query string.
        body: receives the body.
    """

    route: Route
    values: tuple[bytes, ...]
    query: bytes
    body: RequestBody


class UnaryMessages:
    """The messages of a call with one request and one response.

    Args:
        call: the call.
        conversions: runs conversions.
        writer: sends the response.
        headers: of the response.
    """

    def __init__(
        self,
        call: IncomingCall,
        conversions: Conversions,
        writer: ResponseWriter,
        headers: list[tuple[str, str]],
    ) -> None:
        self._call = call
        self._conversions = conversions
        self._writer = writer
        self._headers = headers
        self._http_status: int | None = None
        self._response = b""
        self._has_read = False
        self._task = asyncio.current_task()

    async def read(self) -> bytes | None:
        """Return the request, then None.

        Raises:
            InvalidRequest: the path, the query or the body is invalid.
            StreamIdle: the client has sent nothing for too long.
            CancelledError: the client has left.
        """
        if self._has_read:
            return None
        self._has_read = True
        call = self._call
        try:
            data = await call.body.read_all(limits.MESSAGE_BYTES)
        except errors.StreamIdle:
            self._http_status = HTTPStatus.REQUEST_TIMEOUT
            raise
        if data is None:
            self._http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise errors.invalid_field(MESSAGE, f"must be at most {limits.MESSAGE_BYTES} bytes")
        if self._task is not None:
            call.body.watch(self._task.cancel)
        # An empty body needs no type, but a page of another site may send no other one.
        if call.route.body and (data or "content-type" in call.body.headers):
            try:
                check_content_type(call.body, JSON)
            except errors.InvalidRequest:
                self._http_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
                raise
        make = partial(make_request, call.route, call.values, call.query, data)
        count = estimate_document_values(data, call.query)
        del data
        return await self._conversions.run(count, lambda: make().SerializeToString())

    async def write(self, message: bytes) -> None:
        """Keep the response."""
        self._response = message

    async def finish(self, end: CallEnd) -> None:
        """Send the response, or the error of the call."""
        self._call.body.end_watch()
        if end.status.code != code_pb2.OK:
            await write_status(self._writer, end.status, self._headers, self._http_status)
            return
        timing = [(name, str(value)) for name, value in end.metadata if name == SERVER_TIMING]
        body = await self.encode_response(self._response)
        await self._writer.write_all(HTTPStatus.OK, body, [*self._headers, *timing])

    def drain(self) -> None:
        """Let the call finish: it is short, or has its whole request."""

    def close(self) -> None:
        """End what was begun, because the client has left."""
        self._call.body.end_watch()

    async def encode_response(self, message: bytes) -> bytes:
        """Return the JSON form of a response."""
        response_class = GetMessageClass(self._call.route.method.output_type)
        return await self._conversions.run(
            estimate_message_values(message),
            lambda: encode_message(_parse(response_class, message)),
        )


class LineMessages(UnaryMessages):
    """The messages of a call with one request and a stream of responses, each of which is a line.

    Args: as for UnaryMessages.
    """

    async def write(self, message: bytes) -> None:
        """Send a response."""
        line = await self.encode_response(message)
        await self._start()
        await self._writer.write(line + b"\n")

    async def finish(self, end: CallEnd) -> None:
        """Send the error of the call, as the last line if there are others."""
        self._call.body.end_watch()
        if end.status.code == code_pb2.OK:
            await self._start()
        elif self._writer.has_started:
            await self._writer.write(b'{"error":' + encode_message(end.status) + b"}\n")
        else:
            await write_status(self._writer, end.status, self._headers, self._http_status)

    async def _start(self) -> None:
        if not self._writer.has_started:
            await self._writer.start(HTTPStatus.OK, NDJSON, self._headers)


def check_content_type(body: RequestBody, *expected: str) -> None:
    """Check the type of a body.

    Raises:
        InvalidRequest: it is another one, or the body is compressed.
    """
    sent = body.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in expected:
        raise errors.invalid_field("content-type", f"must be {' or '.join(expected)}")
    if body.headers.get("content-encoding", "identity").lower() != "identity":
        raise errors.invalid_field("content-encoding", "must be identity: send it uncompressed")


def _parse(message_class: type[Message], data: bytes) -> Message:
    return message_class.FromString(data)
