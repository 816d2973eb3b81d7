import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import akin
import grpc
import pytest
from akin.v1 import analysis_service_pb2, catalog_service_pb2, interaction_service_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from support.scripted import Failure, ScriptedServer

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)
NOT_RETRIED = [
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
]

GetItem = Callable[..., Awaitable[akin.Item]]


async def get_blocking(address: str, item_id: str = "1", **options: Any) -> akin.Item:
    with akin.Client(address, **options) as client:
        return client.get_item(item_id)


async def get_async(address: str, item_id: str = "1", **options: Any) -> akin.Item:
    async with akin.AsyncClient(address, **options) as client:
        return await client.get_item(item_id)


@pytest.fixture(params=[get_blocking, get_async])
def get(request: pytest.FixtureRequest) -> GetItem:
    """A function that gets an item, once for each kind of client."""
    kind: GetItem = request.param
    return kind


def public_methods(client: type) -> dict[str, str]:
    """The public methods of a client with their signatures, with the blocking client's types."""
    return {
        name: str(inspect.signature(member)).replace("AsyncIterator[", "Iterator[")
        for name, member in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
    }


def test_both_clients_have_the_same_methods() -> None:
    """Both clients have the same methods, with the same parameters, defaults and results."""
    blocking = public_methods(akin.Client)
    assert blocking == public_methods(akin.AsyncClient)
    assert {"upsert_item", "import_items", "recommend_similar", "is_serving"} <= blocking.keys()


def test_every_rpc_has_a_method() -> None:
    """The clients have a method for each RPC of the services, under the same name."""
    services = (
        analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
        interaction_service_pb2.DESCRIPTOR.services_by_name["InteractionService"],
        pb.DESCRIPTOR.services_by_name["RecommenderService"],
        catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
    )
    names = {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in method.name)
        for service in services
        for method in service.methods
    }
    assert {name[1:] for name in names} == public_methods(akin.Client).keys() - {
        "__init__",
        "catalog",
        "close",
        "import_item_batches",
        "import_user_batches",
        "is_serving",
    }


async def test_unavailable_is_retried(get: GetItem) -> None:
    """A call that ends with UNAVAILABLE twice succeeds at the third attempt."""
    with ScriptedServer(UNAVAILABLE, UNAVAILABLE) as server:
        item = await get(server.address, "sku", catalog="books")
        assert "sku" == item.item_id
        attempts = [(request.catalog, request.item_id) for request in server.requests]
        assert [("books", "sku")] * 3 == attempts


async def test_attempts_are_limited(get: GetItem) -> None:
    """A call to a server that stays unavailable fails after five attempts."""
    with ScriptedServer(*[UNAVAILABLE] * 10) as server:
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address)
        assert grpc.StatusCode.UNAVAILABLE == caught.value.code
        assert 5 == len(server.requests)


@pytest.mark.parametrize("code", NOT_RETRIED, ids=lambda code: code.name)
async def test_other_errors_are_not_retried(get: GetItem, code: grpc.StatusCode) -> None:
    """An error other than UNAVAILABLE is raised after the first attempt."""
    with ScriptedServer(Failure(code)) as server:
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address)
        assert code == caught.value.code
        assert 1 == len(server.requests)


async def test_details_are_decoded(get: GetItem) -> None:
    """An error has its reason, all violations and the time to wait before a retry."""
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field="limit", description="is too large"),
        error_details_pb2.BadRequest.FieldViolation(field="text", description="is blank"),
    ]
    failure = Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "two fields are invalid",
        (
            error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain="akin"),
            error_details_pb2.BadRequest(field_violations=violations),
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
            error_details_pb2.DebugInfo(detail="of a later version"),
        ),
    )
    with ScriptedServer(failure) as server, pytest.raises(akin.AkinError) as caught:
        await get(server.address)
    error = caught.value
    assert "two fields are invalid" == error.message
    assert "INVALID_ARGUMENT: two fields are invalid" == str(error)
    assert "INVALID_REQUEST" == error.reason
    assert (("limit", "is too large"), ("text", "is blank")) == error.violations
    assert 1.5 == error.retry_after_seconds


async def test_an_error_can_have_no_details(get: GetItem) -> None:
    """An error that does not come from Akin has only a code and a message."""
    failure = Failure(grpc.StatusCode.UNIMPLEMENTED, "unknown method")
    with ScriptedServer(failure) as server, pytest.raises(akin.AkinError) as caught:
        await get(server.address)
    error = caught.value
    assert (grpc.StatusCode.UNIMPLEMENTED, "unknown method") == (error.code, error.message)
    assert ("", (), None) == (error.reason, error.violations, error.retry_after_seconds)


async def test_a_call_keeps_its_deadline(get: GetItem) -> None:
    """A call without a response before its deadline ends with DEADLINE_EXCEEDED, unretried."""
    with ScriptedServer() as server:
        server.is_held = True
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address, timeout_seconds=0.3)
        assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code
        assert 1 == len(server.requests)


async def test_retries_stay_within_the_deadline(get: GetItem) -> None:
    """The client makes no attempt that would start after the deadline of the call."""
    with ScriptedServer(*[UNAVAILABLE] * 10) as server:
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address, timeout_seconds=0.3)
        assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code
        assert len(server.requests) < 4


async def test_no_server_is_unavailable(get: GetItem) -> None:
    """A call to an address without a server ends with UNAVAILABLE, without a reason of Akin."""
    with ScriptedServer() as server:
        address = server.address
    with pytest.raises(akin.AkinError) as caught:
        await get(address)
    assert (grpc.StatusCode.UNAVAILABLE, "") == (caught.value.code, caught.value.reason)
    assert address in caught.value.message


async def test_an_error_of_the_connection_names_the_server(get: GetItem) -> None:
    """The error of a connection names the server as the caller does, not only its IP address."""
    with ScriptedServer() as server:
        port = server.address.rpartition(":")[2]
    with pytest.raises(akin.AkinError) as caught:
        await get(f"localhost:{port}")
    assert f"the server at localhost:{port} is unavailable: " in caught.value.message


def test_expire_time_needs_a_time_zone() -> None:
    """An expire_time without a time zone raises ValueError."""
    with pytest.raises(ValueError, match="time zone"):
        akin.item("1", "text", expire_time=datetime(2100, 1, 1))  # noqa: DTZ001


def test_attributes_are_json() -> None:
    """An attribute that is not a JSON value raises ValueError."""
    with pytest.raises(ValueError, match="Unexpected type"):
        akin.item("1", "text", {"when": object()})
