"""The handlers of gRPC methods: each runs a method of a servicer inside the pipeline of calls.

Handlers receive and return bytes, so that a malformed or too large message gets a proper status
(grpc.aio would answer UNKNOWN and name the exception). There are no interceptors, because grpc.aio
sets them up again for each call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service import errors
from service.api.admission import CallKind
from service.api.auth import SCOPES
from service.api.call import Call, Method, Pipeline
from service.api.message_stream import Context, MessageStream

# Analyses compute for seconds; ClassifyText and SearchPassages are as fast as a recommendation.
ANALYSES = frozenset({"FindDuplicates", "FindOutliers", "ClusterItems", "EstimateReembedding"})

# Their requests have a list of queries, each of which is as much work as a call.
BATCHES = frozenset({"BatchRecommend"})


class _Requests(AsyncIterator[Message]):
    """The requests of a stream.

    It is no generator: one would keep its last request in memory until the next one arrives.
    """

    def __init__(self, call: Call, messages: MessageStream) -> None:
        self._call = call
        self._messages = messages

    async def __anext__(self) -> Message:
        request = await self._call.receive_next(self._messages)
        if request is None:
            raise StopAsyncIteration
        return request


def make_handlers(
    service: ServiceDescriptor, servicer: object, pipeline: Pipeline
) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    """Return a handler for every method of a service, by name.

    Each handler calls the method of its name in `servicer`: a unary method takes a request and
    returns a response; one that streams both ways takes an async iterator of requests and yields
    responses; one that streams only responses takes a request. All may raise AkinError.
    """
    return {
        method.name: _make_handler(method, getattr(servicer, method.name), pipeline)
        for method in service.methods
    }


def _make_handler(
    descriptor: MethodDescriptor, serve: Callable[..., Any], pipeline: Pipeline
) -> grpc.RpcMethodHandler[bytes, bytes]:
    method = Method(
        descriptor.full_name,
        descriptor.name,
        GetMessageClass(descriptor.input_type),
        SCOPES[descriptor.full_name],
        "catalog" in descriptor.input_type.fields_by_name,
        _find_kind(descriptor),
        *pipeline,
    )
    # The rate of a counter shows its first increase only if it was there before.
    pipeline.telemetry.metrics.refused_calls.labels(descriptor.name, errors.Overloaded.reason)

    # All methods have handlers for a stream of requests: grpc.aio would receive a single request
    # before it calls a handler, however large, and before it is known whether the call is admitted.
    async def unary(_: object, context: Context) -> bytes:
        async with Call(method, context) as call:
            await call.admit()
            return call.serialize(await serve(await call.receive_only()))

    # Streams are coroutines that write, not generators: the end of a call then ends them at once.
    async def stream(_: object, context: Context) -> None:
        async with Call(method, context) as call:
            await call.admit()
            request = await call.receive_only()
            with method.streams.open(context) as messages:
                async with aclosing(serve(request)) as responses:
                    async for response in responses:
                        await messages.write(call.serialize(response))

    async def exchange(_: object, context: Context) -> None:
        async with Call(method, context) as call:
            await call.admit()
            with method.streams.open(context) as messages:
                async with aclosing(serve(_Requests(call, messages))) as responses:
                    async for response in responses:
                        await messages.write(call.serialize(response))
                        call.release_oldest()

    if descriptor.client_streaming:
        return grpc.stream_stream_rpc_method_handler(exchange)
    if descriptor.server_streaming:
        return grpc.stream_stream_rpc_method_handler(stream)
    return grpc.stream_unary_rpc_method_handler(unary)


def _find_kind(descriptor: MethodDescriptor) -> CallKind:
    if descriptor.name in ANALYSES:
        return CallKind.ANALYSIS
    if descriptor.name in BATCHES:
        return CallKind.BATCH
    return CallKind.STREAM if descriptor.client_streaming else CallKind.CALL
