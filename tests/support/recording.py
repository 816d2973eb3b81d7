"""A real gRPC server of every method, which notes what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from akin.v1 import analysis_service_pb2, catalog_service_pb2, recommender_service_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from support.scripted import Failure, abort
from support.server import WAIT_SECONDS

SERVICES = (
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
    catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
    recommender_service_pb2.DESCRIPTOR.services_by_name["RecommenderService"],
)


class RecordingServer:
    """Answers every method of every service; a context manager.

    An answer is what `answers` has for the method, and empty without; a stream is all of its
    answers. Then the call ends with `failure`, if there is one, or while `held` not before its
    caller ends it. `requests` are those that came, `seconds` the time that each was given, and
    `left` is set once a held call has ended.
    """

    def __init__(
        self,
        answers: Mapping[str, list[Message]] | None = None,
        *,
        failure: Failure | None = None,
        held: bool = False,
    ) -> None:
        self.requests: list[Message] = []
        self.seconds: list[float] = []
        self.left = threading.Event()
        self._failure = failure
        self._held = held
        self._answers = answers or {}
        self._server = grpc.server(ThreadPoolExecutor(4))
        for service in SERVICES:
            handlers = {method.name: self._handler(method) for method in service.methods}
            self._server.add_registered_method_handlers(service.full_name, handlers)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait(WAIT_SECONDS)

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
        def stream(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            yield from self._answered(method, request, context)

        def unary(request: Message, context: grpc.ServicerContext) -> Message:
            return next(self._answered(method, request, context))

        def exchange(
            requests: Iterator[Message], context: grpc.ServicerContext
        ) -> Iterator[Message]:
            for request in requests:
                yield from self._answered(method, request, context)

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

    def _answered(
        self, method: MethodDescriptor, request: Message, context: grpc.ServicerContext
    ) -> Iterator[Message]:
        self.requests.append(request)
        self.seconds.append(context.time_remaining() or 0.0)
        if self._held:
            context.add_callback(self.left.set)
        empty: list[Message] = [GetMessageClass(method.output_type)()]
        if self._failure is None or method.server_streaming:
            yield from self._answers.get(method.name, empty)
        if self._held:
            self.left.wait(WAIT_SECONDS)
        if self._failure is not None:
            abort(context, self._failure)
