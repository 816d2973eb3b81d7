"""Stand-ins for replicas of Akin: gRPC servers that count calls and have a health check."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from akin.v1 import recommender_service_pb2 as pb
from grpc_health.v1 import health, health_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from service.api.server import RECOMMENDER
from support.server import WAIT_SECONDS


class Replica:
    """Server with the methods GetItem and ImportItems, and a health check; a context manager.

    Attributes:
        port: its port on 127.0.0.1.
        call_count: number of calls of GetItem.
        import_count: number of messages of imports.
    """

    def __init__(self) -> None:
        self.call_count = 0
        self.import_count = 0
        self._health = health.HealthServicer()
        self.set_serving(serving=True)
        self._server = grpc.server(ThreadPoolExecutor(8))
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "GetItem": grpc.unary_unary_rpc_method_handler(
                self._get_item,
                request_deserializer=pb.GetItemRequest.FromString,
                response_serializer=pb.GetItemResponse.SerializeToString,
            ),
            "ImportItems": grpc.stream_stream_rpc_method_handler(
                self._import_items,
                request_deserializer=pb.ImportItemsRequest.FromString,
                response_serializer=pb.ImportItemsResponse.SerializeToString,
            ),
        }
        self._server.add_registered_method_handlers(RECOMMENDER, handlers)
        add_HealthServicer_to_server(self._health, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def set_serving(self, *, serving: bool) -> None:
        """Change what the health check of the service says."""
        states = health_pb2.HealthCheckResponse
        self._health.set(RECOMMENDER, states.SERVING if serving else states.NOT_SERVING)

    def stop(self) -> None:
        """End at once, and close all connections."""
        self._server.stop(None).wait(WAIT_SECONDS)

    def _get_item(
        self, request: pb.GetItemRequest, context: grpc.ServicerContext
    ) -> pb.GetItemResponse:
        del request, context
        self.call_count += 1
        return pb.GetItemResponse()

    def _import_items(
        self, requests: Iterator[pb.ImportItemsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ImportItemsResponse]:
        del context
        for _ in requests:
            self.import_count += 1
            yield pb.ImportItemsResponse()
