"""A real gRPC server with every method, which records its requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import grpc
from akin.v1 import (
    analysis_service_pb2,
    catalog_service_pb2,
    interaction_service_pb2,
    recommender_service_pb2,
)
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from support.scripted import Failure, abort
from support.server import WAIT_SECONDS
from support.stand_in_servers import StandInServer

SERVICES = (
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
    catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
    interaction_service_pb2.DESCRIPTOR.services_by_name["InteractionService"],
    recommender_service_pb2.DESCRIPTOR.services_by_name["RecommenderService"],
)


class RecordingServer(StandInServer):
    """Ready server with every method of every service; see StandInServer.

    Args:
        responses: by method name, the response, or all responses of a stream; empty messages by
            default.
        failure: ends every call, and a stream after its responses.
        held: calls do not end until their callers end them.
        ends_imports: an import ends after its first message.

    Attributes:
        requests: all requests, in order.
        timeouts_seconds: time until the deadline of each request; 0 without a deadline.
        held_call_ended: is set when a held call has ended.
    """

    def __init__(
        self,
        responses: Mapping[str, Sequence[Message]] = MappingProxyType({}),
        *,
        failure: Failure | None = None,
        held: bool = False,
        ends_imports: bool = False,
    ) -> None:
        super().__init__()
        self.requests: list[Message] = []
        self.timeouts_seconds: list[float] = []
        self.held_call_ended = threading.Event()
        self._received = threading.Event()
        self._responses = responses
        self._failure = failure
        self._held = held
        self._ends_imports = ends_imports
        for service in SERVICES:
            handlers = {method.name: self._handler(method) for method in service.methods}
            self._server.add_registered_method_handlers(service.full_name, handlers)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), self._server)

    def wait_for_request(self) -> None:
        """Wait for the first request.

        Raises:
            AssertionError: there was none for too long.
        """
        assert self._received.wait(WAIT_SECONDS)

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
        def stream(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            yield from self._respond(method, request, context)

        def unary(request: Message, context: grpc.ServicerContext) -> Message:
            return next(self._respond(method, request, context))

        def exchange(
            requests: Iterator[Message], context: grpc.ServicerContext
        ) -> Iterator[Message]:
            for request in requests:
                yield from self._respond(method, request, context)
                if self._ends_imports:
                    return

        make: Callable[..., grpc.RpcMethodHandler[Any, Any]]
        behavior: Callable[..., Message | Iterator[Message]]
        if method.client_streaming:
            make, behavior = grpc.stream_stream_rpc_method_handler, exchange
        elif method.server_streaming:
            make, behavior = grpc.unary_stream_rpc_method_handler, stream
        else:
            make, behavior = grpc.unary_unary_rpc_method_handler, unary
        return make(
            behavior,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )

    def _respond(
        self, method: MethodDescriptor, request: Message, context: grpc.ServicerContext
    ) -> Iterator[Message]:
        self.requests.append(request)
        self._received.set()
        self.timeouts_seconds.append(context.time_remaining() or 0.0)
        if self._held:
            context.add_callback(self.held_call_ended.set)
            if not method.server_streaming:  # its first response would end it
                self.held_call_ended.wait(WAIT_SECONDS)
        empty: Sequence[Message] = [GetMessageClass(method.output_type)()]
        if self._failure is None or method.server_streaming:
            yield from self._responses.get(method.name, empty)
        if self._held:
            self.held_call_ended.wait(WAIT_SECONDS)
        if self._failure is not None:
            abort(context, self._failure)
