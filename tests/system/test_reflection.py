from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from support.server import RunningServer

SERVICE = "akin.v1.RecommenderService"
CATALOGS = "akin.v1.CatalogService"
ANALYSES = "akin.v1.AnalysisService"
INTERACTIONS = "akin.v1.InteractionService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


class GenericClient:
    """A client that knows an address and learns all else from the server."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.database)

    def call(self, service: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
        """Calls a unary method with a request in JSON; returns the response in JSON."""
        descriptor = self.pool.FindServiceByName(service).methods_by_name[method]
        request_class = GetMessageClass(descriptor.input_type)
        call = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=GetMessageClass(descriptor.output_type).FromString,
        )
        response = call(ParseDict(request, request_class(), descriptor_pool=self.pool))
        return MessageToDict(response, preserving_proto_field_name=True, descriptor_pool=self.pool)


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as connected:
        yield connected


def test_services_are_listed(channel: grpc.Channel) -> None:
    """The server lists its services, health and reflection."""
    assert {SERVICE, CATALOGS, ANALYSES, INTERACTIONS, HEALTH, REFLECTION} == set(
        GenericClient(channel).database.get_services()
    )


def test_generic_client_gets_recommendations(channel: grpc.Channel, prefix: str) -> None:
    """Whoever knows only the address can store items and get recommendations."""
    generic = GenericClient(channel)
    text = f"A generic thing that describes itself {prefix}"
    for number in (1, 2):
        item = {"item_id": f"{prefix}{number}", "text": text, "attributes": {"n": number}}
        stored = generic.call(SERVICE, "UpsertItem", {"item": item})["item"]
        assert item.items() <= stored.items()
        assert "ITEM_STATE_INDEXED" == stored["state"]
    request = {"item_id": f"{prefix}1", "limit": 1, "view": "ITEM_VIEW_FULL"}
    (hit,) = generic.call(SERVICE, "RecommendSimilar", request)["recommendations"]
    assert f"{prefix}2" == hit["item_id"]
    assert pytest.approx(1.0, abs=1e-5) == hit["score"]
    assert {"n": 2} == hit["item"]["attributes"]


def test_health_through_reflection(channel: grpc.Channel) -> None:
    """Health, too, can be asked with what reflection tells."""
    assert {"status": "SERVING"} == GenericClient(channel).call(HEALTH, "Check", {})


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health(channel: grpc.Channel, service: str) -> None:
    """Health is SERVING for the server as a whole and for the service by name."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    response = stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert health_pb2.HealthCheckResponse.SERVING == response.status


def test_health_of_an_unknown_service(channel: grpc.Channel) -> None:
    """The health of a service that is not there is NOT_FOUND."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
    error: Any = caught.value
    assert grpc.StatusCode.NOT_FOUND == error.code()
