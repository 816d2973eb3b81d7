import inspect
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import akin
import grpc
import pytest
from akin import _imports
from akin.v1 import analysis_service_pb2, catalog_service_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from support.scripted import Failure, ScriptedServer

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)
FINAL = [
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

Get = Callable[..., Any]


async def get_blocking(address: str, item_id: str = "1", **options: Any) -> akin.Item:
    with akin.Client(address, **options) as client:
        return client.get_item(item_id)


async def get_async(address: str, item_id: str = "1", **options: Any) -> akin.Item:
    async with akin.AsyncClient(address, **options) as client:
        return await client.get_item(item_id)


@pytest.fixture(params=[get_blocking, get_async])
def get(request: pytest.FixtureRequest) -> Get:
    chosen: Get = request.param
    return chosen


def surface(client: type) -> dict[str, str]:
    """The public methods of a client with their signatures, as if none were asynchronous."""
    return {
        name: str(inspect.signature(member)).replace("AsyncIterator[", "Iterator[")
        for name, member in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
    }


def test_both_clients_offer_the_same() -> None:
    """Both clients have the same calls, with the same parameters, defaults and results."""
    blocking = surface(akin.Client)
    assert blocking == surface(akin.AsyncClient)
    assert {"upsert_item", "import_items", "recommend_similar", "is_serving"} <= blocking.keys()


def test_every_rpc_has_a_call() -> None:
    """Each RPC of the services has its namesake in the clients."""
    services = (
        analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
        pb.DESCRIPTOR.services_by_name["RecommenderService"],
        catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
    )
    names = {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in method.name)
        for service in services
        for method in service.methods
    }
    assert {name[1:] for name in names} == surface(akin.Client).keys() - {
        "__init__",
        "close",
        "import_item_batches",
        "is_serving",
    }


def sizes(items: list[akin.Item]) -> list[int]:
    groups = list(_imports.split(items))
    assert items == [item for group in groups for item in group]
    for group in groups:
        size = pb.ImportItemsRequest(items=group).ByteSize()
        assert size <= _imports.MESSAGE_BYTES + 1024 or len(group) == 1
    return [len(group) for group in groups]


def test_import_messages_hold_so_many_items() -> None:
    """An import goes out in messages of at most 250 items, in order, none of them empty."""
    items = [akin.item(str(number), "text") for number in range(600)]
    assert [250, 250, 100] == sizes(items)
    assert [250, 250] == sizes(items[:500])
    assert [1] == sizes(items[:1])
    assert [] == sizes([])


def test_import_messages_hold_so_many_bytes() -> None:
    """Large items go in messages of at most 4 MiB; one that is larger goes alone."""
    large = [akin.item(str(number), "x" * 1_000_000) for number in range(10)]
    assert [4, 4, 2] == sizes(large)
    huge = akin.item("huge", "x" * 5_000_000)
    assert [1, 1, 1] == sizes([large[0], huge, large[1]])
    assert [1, 1] == sizes([huge, huge])


async def test_unavailable_is_tried_again(get: Get) -> None:
    """A call that finds the server unavailable twice succeeds the third time."""
    with ScriptedServer(UNAVAILABLE, UNAVAILABLE) as server:
        item = await get(server.address, "sku", catalog="books")
        assert "sku" == item.item_id
        assert [("books", "sku")] * 3 == [(each.catalog, each.item_id) for each in server.requests]


async def test_retries_come_to_an_end(get: Get) -> None:
    """A server that stays unavailable is asked four times."""
    with ScriptedServer(*[UNAVAILABLE] * 10) as server:
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address)
        assert grpc.StatusCode.UNAVAILABLE == caught.value.code
        assert 5 == len(server.requests)


@pytest.mark.parametrize("code", FINAL, ids=lambda code: code.name)
async def test_other_errors_are_final(get: Get, code: grpc.StatusCode) -> None:
    """An error other than UNAVAILABLE is told at once, without a second attempt."""
    with ScriptedServer(Failure(code)) as server:
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address)
        assert code == caught.value.code
        assert 1 == len(server.requests)


def test_broken_import_is_not_repeated() -> None:
    """An import that breaks after a reply is told as broken, and not sent again."""
    with ScriptedServer(UNAVAILABLE) as server, akin.Client(server.address) as client:
        results = client.import_items([akin.item("1", "text")])
        assert "1" == next(results).item_id
        with pytest.raises(akin.AkinError) as caught:
            next(results)
        assert grpc.StatusCode.UNAVAILABLE == caught.value.code
        assert 1 == server.imports


async def test_broken_import_is_not_repeated_by_asyncio() -> None:
    """The same holds for the asyncio client."""
    with ScriptedServer(UNAVAILABLE) as server:
        async with akin.AsyncClient(server.address) as client:
            results = client.import_items([akin.item("1", "text")])
            assert "1" == (await anext(results)).item_id
            with pytest.raises(akin.AkinError) as caught:
                await anext(results)
        assert grpc.StatusCode.UNAVAILABLE == caught.value.code
        assert 1 == server.imports


async def test_details_are_decoded(get: Get) -> None:
    """An error carries its reason, every violation and when to try again."""
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field="limit", description="is too large"),
        error_details_pb2.BadRequest.FieldViolation(field="text", description="is blank"),
    ]
    failure = Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "two things are wrong",
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
    assert "two things are wrong" == error.message
    assert "INVALID_ARGUMENT: two things are wrong" == str(error)
    assert "INVALID_REQUEST" == error.reason
    assert (("limit", "is too large"), ("text", "is blank")) == error.violations
    assert 1.5 == error.retry_after_seconds


async def test_error_without_details(get: Get) -> None:
    """An error that is not Akin's own has a code and a message, and nothing else."""
    failure = Failure(grpc.StatusCode.UNIMPLEMENTED, "what is that?")
    with ScriptedServer(failure) as server, pytest.raises(akin.AkinError) as caught:
        await get(server.address)
    error = caught.value
    assert (grpc.StatusCode.UNIMPLEMENTED, "what is that?") == (error.code, error.message)
    assert ("", (), None) == (error.reason, error.violations, error.retry_after_seconds)


async def test_deadline_is_kept(get: Get) -> None:
    """A call that is not answered in time ends with DEADLINE_EXCEEDED, after one attempt."""
    with ScriptedServer() as server:
        server.held = True
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address, timeout_seconds=0.3)
        assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code
        assert 1 == len(server.requests)


async def test_retries_stay_within_the_deadline(get: Get) -> None:
    """No further attempt is made that the deadline has no time for."""
    with ScriptedServer(*[UNAVAILABLE] * 10) as server:
        with pytest.raises(akin.AkinError) as caught:
            await get(server.address, timeout_seconds=0.3)
        assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code
        assert len(server.requests) < 4


async def test_no_server(get: Get) -> None:
    """Where nobody listens the error is UNAVAILABLE, without a reason of Akin's."""
    with ScriptedServer() as server:
        address = server.address
    with pytest.raises(akin.AkinError) as caught:
        await get(address)
    assert (grpc.StatusCode.UNAVAILABLE, "") == (caught.value.code, caught.value.reason)


def test_expire_time_needs_a_zone() -> None:
    """A time without a zone is refused, for nobody knows which one is meant."""
    with pytest.raises(ValueError, match="time zone"):
        akin.item("1", "text", expire_time=datetime(2100, 1, 1))  # noqa: DTZ001


def test_attributes_are_json() -> None:
    """An attribute that JSON cannot say is refused."""
    with pytest.raises(ValueError, match="Unexpected type"):
        akin.item("1", "text", {"when": object()})


class Broken(Exception):
    """What a caller's own items may raise."""


def broken() -> Iterator[akin.Item]:
    for number in range(300):
        yield akin.item(str(number), "a text")
    raise Broken


async def test_what_callers_items_raise_reaches_them() -> None:
    """An import whose items cannot be read on ends with what reading them raised."""
    with ScriptedServer() as server:
        with akin.Client(server.address) as client, pytest.raises(Broken):
            list(client.import_items(broken()))
        async with akin.AsyncClient(server.address) as client:
            with pytest.raises(Broken):
                async for _ in client.import_items(broken()):
                    pass
