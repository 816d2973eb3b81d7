"""The methods that a server serves, found by reflection."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

# Streams that the server leaves open until the caller cancels them.
ENDLESS = frozenset({"/grpc.health.v1.Health/Watch"})


@dataclass(frozen=True)
class Method:
    """A method of a service; `path` is its gRPC path, such as `/akin.v1.CatalogService/GetCatalog`.

    Attributes:
        client_streaming: whether a call has several requests.
        server_streaming: whether a call has several responses.
        endless: whether the server never ends the call by itself.
    """

    path: str
    request: Descriptor
    response: Descriptor
    client_streaming: bool
    server_streaming: bool
    endless: bool = False

    @property
    def name(self) -> str:
        """The name within the service."""
        return self.path.rpartition("/")[2]


def find_methods(address: str) -> list[Method]:
    """Return every method of every service of a server with reflection, by service."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = [pool.FindServiceByName(name) for name in sorted(database.get_services())]
        return [
            Method(
                path := f"/{service.full_name}/{method.name}",
                method.input_type,
                method.output_type,
                method.client_streaming,
                method.server_streaming,
                path in ENDLESS,
            )
            for service in services
            for method in service.methods
        ]
