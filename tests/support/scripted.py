"""A real gRPC server whose calls fail as a test scripts it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import akin
import grpc
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2

from support.rejections import SERVICE
from support.server import WAIT_SECONDS
from support.stand_in_servers import StandInServer, handle_get_item, handle_import_items


@dataclass(frozen=True)
class Failure:
    """A status that ends a call, and its details."""

    code: grpc.StatusCode
    message: str = "scripted"
    details: tuple[Message, ...] = ()


class ScriptedServer(StandInServer):
    """Server with the methods GetItem and ImportItems; see StandInServer.

    Each call takes one failure from the script: GetItem at once, ImportItems after its first
    message. When the script is empty, calls succeed, and ImportItems acknowledges every message.

    Args:
        script: the failures, in order.

    Attributes:
        requests: the requests to GetItem.
        import_count: number of calls of ImportItems.
        imports_may_fail: ImportItems waits for it before it fails; set by default.
        import_ended: is set when a call of ImportItems has ended.
        is_held: if true, GetItem does not respond until the server stops.
    """

    def __init__(self, *script: Failure) -> None:
        super().__init__()
        self.requests: list[pb.GetItemRequest] = []
        self.import_count = 0
        self.imports_may_fail = threading.Event()
        self.imports_may_fail.set()
        self.import_ended = threading.Event()
        self.is_held = False
        self._release = threading.Event()
        self._script = list(script)
        handlers = handle_get_item(self._get_item) | handle_import_items(self._import_items)
        self._server.add_registered_method_handlers(SERVICE, handlers)

    def stop(self) -> None:
        """End at once, with the calls that are held."""
        self._release.set()
        super().stop()

    def _get_item(
        self, request: pb.GetItemRequest, context: grpc.ServicerContext
    ) -> pb.GetItemResponse:
        self.requests.append(request)
        if self.is_held:
            self._release.wait(WAIT_SECONDS)
        self._fail(context)
        return pb.GetItemResponse(item=akin.Item(item_id=request.item_id))

    def _import_items(
        self, requests: Iterator[pb.ImportItemsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ImportItemsResponse]:
        self.import_count += 1
        context.add_callback(self.import_ended.set)
        for request in requests:
            results = [akin.ItemResult(item_id=item.item_id) for item in request.items]
            yield pb.ImportItemsResponse(results=results)
            self.imports_may_fail.wait(WAIT_SECONDS)
            self._fail(context)

    def _fail(self, context: grpc.ServicerContext) -> None:
        if self._script:
            abort(context, self._script.pop(0))


def abort(context: grpc.ServicerContext, failure: Failure) -> NoReturn:
    """End a call with a status and its details."""
    status = status_pb2.Status(code=failure.code.value[0], message=failure.message)
    for detail in failure.details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    if failure.details:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(failure.code, failure.message)
