"""The ASGI application that serves the methods as JSON over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import quote

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.rpc import code_pb2, status_pb2
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from service.api.call import SERVER_TIMING
from service.api.method_calls import CallEnd, CallStart, MethodCaller
from service.api.request_ids import REQUEST_ID, read_request_id
from service.http.call_messages import IncomingCall, LineMessages, UnaryMessages
from service.http.conversions import Conversions
from service.http.json_messages import encode_json, encode_message
from service.http.request_body import RequestBody
from service.http.response_writer import NDJSON, ResponseWriter
from service.http.routes import Match, Route, RoutingTable, load_routes
from service.http.statuses import HTTP_STATUSES, make_status_headers

# The headers of a request that are metadata of the call.
FORWARDED_HEADERS = ("authorization", "traceparent", "tracestate")

DISTRIBUTION = "akin-service"


class Application:
    """Serves the methods of services as JSON over HTTP.

    Args:
        services: the services.
        caller: calls their methods.
    """

    def __init__(self, services: Iterable[ServiceDescriptor], caller: MethodCaller) -> None:
        self._caller = caller
        self._conversions = Conversions()
        methods = _list_methods(services)
        routes = load_routes(methods)
        self._table = RoutingTable(route for route in routes if not route.method.client_streaming)
        self._about = encode_json({"name": "akin", "version": version(DISTRIBUTION)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        writer = ResponseWriter(scope, send)
        body = RequestBody(receive, headers)
        try:
            await self._answer(scope, body, writer)
        except asyncio.CancelledError:
            # The client has left, or has lost its connection.
            return
        finally:
            body.end_watch()

    def close(self) -> None:
        """Release what the application holds."""
        self._conversions.close()

    async def _answer(self, scope: Scope, body: RequestBody, writer: ResponseWriter) -> None:
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        match = self._table.find(raw_path)
        if match is not None and (route := match.routes.get(scope["method"])) is not None:
            call = IncomingCall(route, match.values, scope["query_string"], body)
            await self._call(call, scope, writer)
        elif raw_path == b"/":
            await _write_document(scope, writer, self._about)
        else:
            await _refuse(writer, match)
        # Without the rest of the body, the client could fail before it has read the response.
        await body.discard()
        await writer.end()

    async def _call(self, call: IncomingCall, scope: Scope, writer: ResponseWriter) -> None:
        start = _make_call_start(call.route, scope, call.body.headers)
        headers = [(REQUEST_ID, read_request_id(start.metadata))]
        messages = (
            LineMessages(call, self._conversions, writer, headers)
            if call.route.method.server_streaming
            else UnaryMessages(call, self._conversions)
        )
        end = await self._caller.call(start, messages)
        call.body.end_watch()
        if writer.has_started:
            if end.status.code != code_pb2.OK:
                await writer.write(_encode_error(end.status))
        elif end.status.code != code_pb2.OK:
            await _write_error(writer, end, messages.http_status, headers)
        elif messages.response is None:
            await writer.start(HTTPStatus.OK, NDJSON, headers)
        else:
            headers += [(name, str(value)) for name, value in end.metadata if name == SERVER_TIMING]
            body = await messages.encode_response(messages.response)
            await writer.write_all(HTTPStatus.OK, body, headers)


async def _write_error(
    writer: ResponseWriter,
    end: CallEnd,
    http_status: int | None,
    headers: Iterable[tuple[str, str]],
) -> None:
    await writer.write_all(
        http_status or HTTP_STATUSES[end.status.code],
        encode_message(end.status),
        [*headers, *make_status_headers(end.status)],
    )


def _encode_error(status: status_pb2.Status) -> bytes:
    """Return the last line of a stream that fails after its first response."""
    return b'{"error":' + encode_message(status) + b"}\n"


async def _write_document(scope: Scope, writer: ResponseWriter, document: bytes) -> None:
    if scope["method"] == "GET":
        await writer.write_all(HTTPStatus.OK, document)
    else:
        await _write_wrong_verb(writer, ["GET"])


async def _refuse(writer: ResponseWriter, match: Match | None) -> None:
    """Answer a request for a path or verb that does not exist."""
    if match is not None:
        await _write_wrong_verb(writer, sorted(match.routes))
        return
    status = status_pb2.Status(code=code_pb2.NOT_FOUND, message="there is no method at this path")
    await writer.write_all(HTTPStatus.NOT_FOUND, encode_message(status))


async def _write_wrong_verb(writer: ResponseWriter, verbs: list[str]) -> None:
    allowed = ", ".join(verbs)
    status = status_pb2.Status(
        code=code_pb2.UNIMPLEMENTED, message=f"the method at this path needs {allowed}"
    )
    headers = [("allow", allowed)]
    await writer.write_all(HTTPStatus.METHOD_NOT_ALLOWED, encode_message(status), headers)


def _make_call_start(route: Route, scope: Scope, headers: Headers) -> CallStart:
    metadata = [(name, value) for name in FORWARDED_HEADERS for value in headers.getlist(name)]
    ids = [(REQUEST_ID, value) for value in headers.getlist(REQUEST_ID)]
    # Known before the call, so that a stream can name it in its headers.
    metadata.append((REQUEST_ID, read_request_id(ids)))
    return CallStart(route.method.full_name, tuple(metadata), _format_peer(scope.get("client")))


def _format_peer(client: tuple[str, int] | None) -> str:
    """Return the address of a client as gRPC writes it."""
    if client is None:
        return ""
    host, port = client
    return f"ipv6:{quote(f'[{host}]')}:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _list_methods(services: Iterable[ServiceDescriptor]) -> Mapping[str, MethodDescriptor]:
    return {method.full_name: method for service in services for method in service.methods}
