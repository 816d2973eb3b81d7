"""Connections to the workers of a server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import grpc
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc

from support.server import WAIT_SECONDS, RunningServer

CONNECTIONS = 100
"""More than enough for the kernel to have dealt one to each worker."""


def list_calls(server: RunningServer) -> list[int]:
    """Return which worker answered each call so far."""
    return [each["worker"] for each in server.events("call")]


def connect_to_workers(
    server: RunningServer, stack: ExitStack, workers: int
) -> Mapping[int, grpc.Channel]:
    """Return a connection to each worker, by its number."""
    server.wait_for("serving", workers)  # the kernel deals connections to those that listen
    opened: dict[int, grpc.Channel] = {}
    for _ in range(CONNECTIONS):
        if len(opened) == workers:
            return opened
        before = len(list_calls(server))
        channel = stack.enter_context(
            grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
        )
        stub = pb_grpc.RecommenderServiceStub(channel)
        stub.ListItems(pb.ListItemsRequest(page_size=1), timeout=WAIT_SECONDS)
        server.wait_for("call", before + 1)
        opened[list_calls(server)[before]] = channel
    raise AssertionError(f"only the workers {sorted(opened)} got a connection")
