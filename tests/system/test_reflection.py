from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from support.server import RunningServer

SERVICE = "akin.v1.RecommenderService"
CATALOGS = "akin.v1.CatalogService"
ANALYSES = "akin.v1.AnalysisService"
INTERACTIONS = "akin.v1.InteractionService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"
REFLECTION_ALPHA = "grpc.reflection.v1alpha.ServerReflection"
SYMBOLS = {
    f"{SERVICE}.UpsertItem": "akin/v1/recommender_service.proto",
    SERVICE: "akin/v1/recommender_service.proto",
    "akin.v1.Item": "akin/v1/item.proto",
    "akin.v1.Item.item_id": "akin/v1/item.proto",
    "akin.v1.ITEM_STATE_INDEXED": "akin/v1/item.proto",
    f"{HEALTH}.Check": "grpc_health/v1/health.proto",
    f"{REFLECTION}.ServerReflectionInfo": "grpc_reflection/v1/reflection.proto",
    f"{REFLECTION_ALPHA}.ServerReflectionInfo": "grpc_reflection/v1alpha/reflection.proto",
}


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
    assert {SERVICE, CATALOGS, ANALYSES, INTERACTIONS, HEALTH, REFLECTION, REFLECTION_ALPHA} == set(
        GenericClient(channel).database.get_services()
    )


def _reflect(
    channel: grpc.Channel, service: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    """Returns the response to the only request of a stream of a version of reflection."""
    call = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (response,) = call(iter([request]))
    assert isinstance(response, reflection_pb2.ServerReflectionResponse)
    return response


@pytest.mark.parametrize("service", [REFLECTION, REFLECTION_ALPHA])
@pytest.mark.parametrize(("symbol", "file_name"), SYMBOLS.items())
def test_file_of_a_symbol(channel: grpc.Channel, service: str, symbol: str, file_name: str) -> None:
    """Both versions find the file of a method, as of any other symbol, and send it first."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    response = _reflect(channel, service, request)
    files = response.file_descriptor_response.file_descriptor_proto
    assert file_name == FileDescriptorProto.FromString(files[0]).name
    assert request == response.original_request


@pytest.mark.parametrize("service", [REFLECTION, REFLECTION_ALPHA])
@pytest.mark.parametrize("symbol", [f"{SERVICE}.NoSuchMethod", "no.such.Symbol", "UpsertItem", ""])
def test_unknown_symbol(channel: grpc.Channel, service: str, symbol: str) -> None:
    """A symbol that no file declares is NOT_FOUND."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    response = _reflect(channel, service, request)
    assert grpc.StatusCode.NOT_FOUND.value[0] == response.error_response.error_code


def test_file_of_v1_declares_the_service_of_v1(channel: grpc.Channel) -> None:
    """The file that describes v1 names v1 everywhere, and has the methods of v1alpha."""
    request = reflection_pb2.ServerReflectionRequest(
        file_by_filename="grpc_reflection/v1/reflection.proto"
    )
    response = _reflect(channel, REFLECTION, request)
    (data,) = response.file_descriptor_response.file_descriptor_proto
    assert b"v1alpha" not in data
    pool = DescriptorPool()
    pool.AddSerializedFile(data)
    method = pool.FindServiceByName(REFLECTION).methods_by_name["ServerReflectionInfo"]
    assert "grpc.reflection.v1.ServerReflectionRequest" == method.input_type.full_name


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
