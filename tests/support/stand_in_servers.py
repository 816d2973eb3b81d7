"""gRPC servers in the process of a test, which stand for servers of Akin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from akin.v1 import recommender_service_pb2 as pb

from support.server import WAIT_SECONDS


class StandInServer:
    """A server without methods on a free port; a context manager. It serves inside the context.

    Args:
        threads: the number of calls that run at the same time.

    Attributes:
        port: its port on 127.0.0.1.
        address: `host:port` of the server.
    """

    def __init__(self, threads: int = 4) -> None:
        self._server = grpc.server(ThreadPoolExecutor(threads))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once, and close all connections."""
        self._server.stop(None).wait(WAIT_SECONDS)


def handle_get_item(
    get_item: Callable[[pb.GetItemRequest, grpc.ServicerContext], pb.GetItemResponse],
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """The handler of GetItem, by its name."""
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        get_item,
        request_deserializer=pb.GetItemRequest.FromString,
        response_serializer=pb.GetItemResponse.SerializeToString,
    )
    return {"GetItem": handler}


def handle_import_items(
    import_items: Callable[
        [Iterator[pb.ImportItemsRequest], grpc.ServicerContext], Iterator[pb.ImportItemsResponse]
    ],
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """The handler of ImportItems, by its name."""
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        import_items,
        request_deserializer=pb.ImportItemsRequest.FromString,
        response_serializer=pb.ImportItemsResponse.SerializeToString,
    )
    return {"ImportItems": handler}
