import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection

from fuzz.calls import Call, Kind, make_call
from fuzz.campaign import Plan, Report, fuzz_methods
from fuzz.methods import Method, find_methods
from fuzz.mutations import mutate, nest
from fuzz.properties import find_problems
from fuzz.sending import Outcome
from fuzz.vocabulary import MARKER, Vocabulary
from service.api.status import status
from service.errors import ItemNotFound, invalid_field

SERVICE = pb.DESCRIPTOR.services_by_name["RecommenderService"]
WORDS = Vocabulary()
Code = grpc.StatusCode


def method_of(name: str) -> Method:
    method = SERVICE.methods_by_name[name]
    return Method(
        f"/{SERVICE.full_name}/{name}",
        method.input_type,
        method.output_type,
        method.client_streaming,
        method.server_streaming,
    )


METHODS = [method_of(method.name) for method in SERVICE.methods]
DELETE = method_of("DeleteItem")
VALID = pb.DeleteItemRequest(item_id="sku-1")
UPSERT = pb.UpsertItemRequest(item=item_pb2.Item(item_id="sku-1", text=MARKER))
WRITE = Call(method_of("UpsertItem"), 0, Kind.GENERATED, (UPSERT.SerializeToString(),))
NAMED = pb.DeleteItemRequest(item_id=f"{MARKER} 1")
NAMING = Call(DELETE, 0, Kind.GENERATED, (NAMED.SerializeToString(),))
PLAIN = Call(DELETE, 0, Kind.GENERATED, (VALID.SerializeToString(),))
LATE = Call(DELETE, 0, Kind.DEADLINE, PLAIN.requests, timeout_seconds=0.001)


def outcome(code: Code, message: str = "", *details: Message, **more: Any) -> Outcome:
    rpc_status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        rpc_status.details.add().Pack(detail)
    fields: dict[str, Any] = {"responses": (), "cancelled": False, "seconds": 0.1} | more
    return Outcome(code=code, message=message, status=rpc_status, **fields)


def of_service(error: Any) -> Outcome:
    rpc_status = status(error)
    code = next(code for code in Code if code.value[0] == rpc_status.code)
    return Outcome(code, rpc_status.message, rpc_status, (), cancelled=False, seconds=0.1)


@pytest.mark.parametrize(
    ("call", "bad"),
    [
        (PLAIN, outcome(Code.INTERNAL, "internal error")),
        (PLAIN, outcome(Code.UNKNOWN, "Unexpected <class 'ValueError'>")),
        (PLAIN, outcome(Code.CANCELLED)),
        (PLAIN, outcome(Code.UNAVAILABLE)),
        (PLAIN, outcome(Code.DEADLINE_EXCEEDED)),
        (PLAIN, outcome(Code.RESOURCE_EXHAUSTED)),
        (PLAIN, outcome(Code.INVALID_ARGUMENT, "item_id is invalid")),
        (PLAIN, outcome(Code.INVALID_ARGUMENT, "no", error_details_pb2.BadRequest())),
        (PLAIN, of_service(invalid_field("", "must be set"))),
        (WRITE, of_service(ItemNotFound(f"there is no {MARKER}"))),
        (PLAIN, outcome(Code.OK)),
        (PLAIN, outcome(Code.OK, responses=(b"\xff",))),
        (LATE, outcome(Code.INTERNAL)),
    ],
)
def test_wrong_outcomes_are_found(call: Call, bad: Outcome) -> None:
    """Each outcome that breaks a property is a problem."""
    assert find_problems(call, bad)


@pytest.mark.parametrize(
    ("call", "good"),
    [
        (PLAIN, outcome(Code.OK, responses=(b"",))),
        (PLAIN, of_service(invalid_field("item_id", "must be 1 to 256 bytes of UTF-8"))),
        (PLAIN, of_service(ItemNotFound("there is no such item"))),
        (NAMING, of_service(ItemNotFound(f"item '{MARKER} 1' does not exist"))),
        (PLAIN, outcome(Code.CANCELLED, cancelled=True)),
        (LATE, outcome(Code.DEADLINE_EXCEEDED)),
    ],
)
def test_proper_outcomes_are_no_problems(call: Call, good: Outcome) -> None:
    """A success, and an error in the form of the contract, are no problems."""
    assert [] == find_problems(call, good)


@pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
def test_calls_depend_on_seed_and_number(method: Method) -> None:
    """A call is the same for the same seed and number, and calls of other seeds differ."""
    calls = [make_call(1, method, number, WORDS) for number in range(20)]
    assert calls == [make_call(1, method, number, WORDS) for number in range(20)]
    others = [make_call(2, method, number, WORDS) for number in range(20)]
    assert [call.requests for call in calls] != [call.requests for call in others]


def test_messages_are_valid_and_damaged() -> None:
    """Of the requests of a method, many can be parsed and many cannot."""
    requests = [
        request
        for number in range(300)
        for request in make_call(3, method_of("UpsertItem"), number, WORDS).requests
    ]
    damaged = sum(not can_parse(request) for request in requests)
    assert 0.05 < damaged / len(requests) < 0.5


def can_parse(request: bytes) -> bool:
    try:
        pb.UpsertItemRequest.FromString(request)
    except DecodeError:
        return False
    return True


def test_mutations_change_messages() -> None:
    """Nearly every mutated message differs from the one it was made of."""
    rng = random.Random(1)
    data = pb.UpdateItemRequest(catalog="default", require_indexed=True).SerializeToString()
    mutants = {mutate(rng, data, PLAIN.requests[0]) for _ in range(200)}
    assert len(mutants) > 100


def test_recursive_types_are_nested_too_deeply() -> None:
    """A recursive type gets messages that are too deep for protobuf; other types get none."""
    rng = random.Random(1)
    nested = [nest(rng, pb.ListItemsRequest.DESCRIPTOR) for _ in range(30)]
    assert {True, False} == {data is not None and can_list(data) for data in nested}
    assert nest(rng, pb.DeleteItemRequest.DESCRIPTOR) is None


def can_list(data: bytes) -> bool:
    try:
        pb.ListItemsRequest.FromString(data)
    except DecodeError:
        return False
    return True


@asynccontextmanager
async def faulty_server(delete_item: Callable[[bytes, Any], Any]) -> AsyncIterator[str]:
    """Runs a server with reflection, and with a method of its own."""
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(delete_item)
    server.add_registered_method_handlers(SERVICE.full_name, {"DeleteItem": handler})
    reflection.enable_server_reflection([SERVICE.full_name], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_a_fault_is_found_and_its_request_shrinks() -> None:
    """A server that fails on one id is found out, and the failing request has only that id."""

    async def delete_item(data: bytes, _context: Any) -> bytes:
        if b"item-7" in data:
            raise RuntimeError
        return b""

    report = Report(Plan(seed=1, messages=300))
    async with faulty_server(delete_item) as address:
        found = await asyncio.to_thread(find_methods, address)
        methods = [method for method in found if method.name == "DeleteItem"]

        async def after() -> None:
            pass

        await fuzz_methods(address, methods, WORDS, report, after)
    assert report.has_failed
    assert {"UNKNOWN"} == {problem.split()[0] for f in report.failures for problem in f.problems}
    smallest = min((f.call.requests[0] for f in report.failures), key=len)
    assert pb.DeleteItemRequest(item_id="item-7") == pb.DeleteItemRequest.FromString(smallest)
