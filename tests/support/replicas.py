"""Stand-ins for replicas of Akin: gRPC servers that count calls and have a health check."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from akin.v1 import recommender_service_pb2 as pb
from grpc_health.v1 import health, health_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from service.api.server import RECOMMENDER
from support.stand_in_servers import StandInServer, handle_get_item, handle_import_items


class Replica(StandInServer):
    """Server with the methods GetItem and ImportItems, and a health check; see StandInServer.

    Attributes:
        call_count: number of calls of GetItem.
        import_count: number of messages of imports.
    """

    def __init__(self) -> None:
        super().__init__(threads=8)
        self.call_count = 0
        self.import_count = 0
        self._health = health.HealthServicer()
        self.set_serving(serving=True)
        handlers = handle_get_item(self._get_item) | handle_import_items(self._import_items)
        self._server.add_registered_method_handlers(RECOMMENDER, handlers)
        add_HealthServicer_to_server(self._health, self._server)

    def set_serving(self, *, serving: bool) -> None:
        """Change what the health check of the service says."""
        states = health_pb2.HealthCheckResponse
        self._health.set(RECOMMENDER, states.SERVING if serving else states.NOT_SERVING)

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
