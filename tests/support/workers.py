"""Connections to the workers of a server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from uuid import uuid4

import grpc
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc

from support.server import WAIT_SECONDS, RunningServer
from support.waiting import until

CONNECTIONS = 100
"""More than enough for the kernel to have dealt one to each worker."""


def find_worker(server: RunningServer, request_id: str) -> int:
    """Return which worker has answered a call, once the log has its line."""

    def find_lines() -> list[int]:
        calls = server.events("call")
        return [call["worker"] for call in calls if call["request_id"] == request_id]

    until(lambda: bool(find_lines()))
    return find_lines()[0]


def connect_to_workers(
    server: RunningServer, stack: ExitStack, workers: int
) -> Mapping[int, grpc.Channel]:
    """Return a connection to each worker, by its number."""
    server.wait_for("serving", workers)  # the kernel deals connections to those that listen
    opened: dict[int, grpc.Channel] = {}
    for _ in range(CONNECTIONS):
        if len(opened) == workers:
            return opened
        # By its id: the lines of earlier calls may not have been read yet.
        request_id = uuid4().hex
        channel = stack.enter_context(
            grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
        )
        stub = pb_grpc.RecommenderServiceStub(channel)
        stub.ListItems(
            pb.ListItemsRequest(page_size=1),
            timeout=WAIT_SECONDS,
            metadata=(("x-request-id", request_id),),
        )
        opened[find_worker(server, request_id)] = channel
    raise AssertionError(f"only the workers {sorted(opened)} got a connection")
