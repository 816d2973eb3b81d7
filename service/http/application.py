"""The ASGI application that serves the methods as JSON over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import quote

import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.rpc import code_pb2, status_pb2
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from service.api.method_calls import CallStart, MethodCaller
from service.api.request_ids import REQUEST_ID, read_request_id
from service.http.call_messages import IncomingCall, LineMessages, UnaryMessages
from service.http.conversions import Conversions
from service.http.import_messages import ImportMessages
from service.http.json_messages import encode_json
from service.http.request_body import RequestBody
from service.http.response_writer import ResponseWriter
from service.http.routes import Match, Route, RoutingTable, load_routes
from service.http.statuses import write_status

# The headers of a request that are metadata of the call.
FORWARDED_HEADERS = ("authorization", "traceparent", "tracestate")

DISTRIBUTION = "akin-service"

INTERNAL_ERROR = status_pb2.Status(code=code_pb2.INTERNAL, message="internal error")


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
        self._table = RoutingTable(load_routes(methods))
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
        except Exception as exc:  # noqa: BLE001 (a bug gets a status in JSON as well)
            structlog.get_logger().error("http_failed", exc_info=exc)
            if writer.has_started:
                writer.abort()
                return
            await write_status(writer, INTERNAL_ERROR)
            await writer.end()

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
        make = _choose_messages(call.route.method)
        messages = make(call, self._conversions, writer, headers)
        try:
            await messages.finish(await self._caller.call(start, messages))
        finally:
            messages.close()


def _choose_messages(
    method: MethodDescriptor,
) -> type[UnaryMessages | LineMessages | ImportMessages]:
    if method.client_streaming:
        return ImportMessages
    return LineMessages if method.server_streaming else UnaryMessages


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
    await write_status(writer, status)


async def _write_wrong_verb(writer: ResponseWriter, verbs: list[str]) -> None:
    allowed = ", ".join(verbs)
    status = status_pb2.Status(
        code=code_pb2.UNIMPLEMENTED, message=f"the method at this path needs {allowed}"
    )
    await write_status(writer, status, [("allow", allowed)], HTTPStatus.METHOD_NOT_ALLOWED)


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
