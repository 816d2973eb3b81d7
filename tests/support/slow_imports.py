"""A real gRPC server that needs long for an import, and answers health checks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
from akin.v1 import recommender_service_pb2 as pb
from grpc_health.v1 import health_pb2

from support.rejections import SERVICE
from support.server import WAIT_SECONDS
from support.stand_in_servers import StandInServer, handle_import_items


class SlowImportServer(StandInServer):
    """Server whose imports respond only after some health checks; see StandInServer.

    Args:
        health: the status that ends each health check; OK responds with SERVING.
        checks: number of health checks before an import responds.

    Attributes:
        check_count: number of health checks so far.
    """

    def __init__(self, health: grpc.StatusCode, checks: int) -> None:
        super().__init__()
        self.check_count = 0
        self._health = health
        self._checks = checks
        self._checked = threading.Condition()
        check: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        self._server.add_registered_method_handlers(
            SERVICE, handle_import_items(self._import_items)
        )
        self._server.add_registered_method_handlers("grpc.health.v1.Health", {"Check": check})

    def _import_items(
        self, requests: Iterator[pb.ImportItemsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ImportItemsResponse]:
        del context
        for _ in requests:
            with self._checked:
                self._checked.wait_for(lambda: self.check_count >= self._checks, WAIT_SECONDS)
            yield pb.ImportItemsResponse()

    def _check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        del request
        with self._checked:
            self.check_count += 1
            self._checked.notify_all()
        if self._health is not grpc.StatusCode.OK:
            context.abort(self._health, "scripted")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
