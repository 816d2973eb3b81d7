"""Health checks and reflection, whose implementations are libraries.

Their handlers receive bytes, as in `call`: for a malformed message, grpc.aio would answer UNKNOWN
and name the exception.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.api.descriptors import REFLECTION_V1, REFLECTION_V1ALPHA, DescribedSymbols

_Context = grpc.aio.ServicerContext[Any, Any]
_Request = TypeVar("_Request", bound=Message)


def add_health(servicer: health.HealthServicer, server: grpc.aio.Server) -> None:
    """Serve health checks."""

    # Handlers for a stream of requests, as in `handlers`: grpc.aio never ends a call whose client
    # sends no request.
    async def check(_: object, context: _Context) -> health_pb2.HealthCheckResponse:
        return await servicer.Check(await _receive(context), context)

    async def watch(_: object, context: _Context) -> None:
        await servicer.Watch(await _receive(context), context)

    write = health_pb2.HealthCheckResponse.SerializeToString
    server.add_registered_method_handlers(
        HEALTH,
        {
            "Check": grpc.stream_unary_rpc_method_handler(check, response_serializer=write),
            "Watch": grpc.stream_stream_rpc_method_handler(watch, response_serializer=write),
        },
    )


def add_reflection(service_names: Iterable[str], server: grpc.aio.Server) -> None:
    """Serve reflection of services, and of itself, in the versions v1 and v1alpha.

    Both have the same messages on the wire, so that one handler serves them.
    """
    names = (*service_names, REFLECTION_V1, REFLECTION_V1ALPHA)
    symbols: Any = DescribedSymbols()
    servicer: Any = reflection.aio.ReflectionServicer(names, pool=symbols)

    async def explain(messages: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        requests = (
            await _parse(reflection_pb2.ServerReflectionRequest, data, context)
            async for data in messages
        )
        async for response in servicer.ServerReflectionInfo(requests, context):
            yield response

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        explain, response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString
    )
    for name in (REFLECTION_V1, REFLECTION_V1ALPHA):
        server.add_registered_method_handlers(name, {"ServerReflectionInfo": handler})


async def _receive(context: _Context) -> health_pb2.HealthCheckRequest:
    """Return the request of a health check; end the call if there is none, or it is malformed."""
    data: Any = await context.read()
    if not isinstance(data, bytes):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "message must be sent")
    return await _parse(health_pb2.HealthCheckRequest, data, context)


async def _parse(request_class: type[_Request], data: bytes, context: _Context) -> _Request:
    """Return the request in a message; end the call if the message is malformed."""
    try:
        return request_class.FromString(data)
    except DecodeError:
        name = request_class.DESCRIPTOR.full_name
        description = f"message must be a {name} with strings in UTF-8"
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, description)
