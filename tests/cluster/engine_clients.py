"""Clients of the real engine, for tests that otherwise use the local mode of its client."""

from __future__ import annotations

from typing import Any

from qdrant_client import AsyncQdrantClient

from service.index.shared.engine_address import parse_engine_url
from service.index.shared.qdrant_engine import ENGINE_CHANNEL_OPTIONS


def describe_connection(url: str) -> dict[str, Any]:
    """Return the arguments of a client for an address of the engine."""
    address = parse_engine_url(url, "")
    return {
        "host": address.target,
        "grpc_port": address.port,
        "prefer_grpc": True,
        "https": address.tls,
        "timeout": 60,
        "check_compatibility": False,
        "grpc_options": {**ENGINE_CHANNEL_OPTIONS, "grpc.default_authority": address.authority},
    }


def make_client_class(url: str) -> type[AsyncQdrantClient]:
    """Return a class whose clients connect to an address, whatever location they are given."""

    class EngineClient(AsyncQdrantClient):
        def __init__(self, location: str) -> None:
            del location
            super().__init__(**describe_connection(url))

    return EngineClient
