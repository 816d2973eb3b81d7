import random
import re
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf.message import Message
from support.rejections import RawClient, invalid
from support.server import WAIT_SECONDS, RunningServer

METHODS = [
    method.name
    for method in pb.DESCRIPTOR.services_by_name["RecommenderService"].methods
    if not method.client_streaming
]
NO_MESSAGES = {
    "an invalid tag": b"\xff",
    "a length beyond the end": b"\x0a\x7fabc",
    "a group without an end": b"\x0b",
    "a catalog that is not UTF-8": b"\x0a\x02\xc3\x28",
    "half a surrogate pair": b"\x0a\x03\xed\xa0\x80",
}
PROPER = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
MARKER = "xylophagous-secret"


def leaks(message: str) -> bool:
    """Whether a message speaks of what is inside the server."""
    return any(word in message for word in ("Error", "Exception", "Traceback", "decode", ".py"))


def imported(*items: akin.Item) -> bytes:
    return pb.ImportItemsRequest(items=items).SerializeToString()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("data", NO_MESSAGES.values(), ids=NO_MESSAGES.keys())
def test_what_is_no_message_is_refused(raw: RawClient, data: bytes) -> None:
    """Bytes that are no message get INVALID_ARGUMENT from every call, in words of our own."""
    for method in METHODS:
        with pytest.raises(akin.AkinError) as caught:
            raw.call(method, data)
        assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code
        assert ["message"] == [violation.field for violation in caught.value.violations]
        assert not leaks(caught.value.message)
    with invalid("message"):
        list(raw.stream([data]))


@pytest.mark.usefixtures("unchanged")
def test_random_bytes_do_no_harm(client: akin.Client, raw: RawClient) -> None:
    """Whatever bytes come, the answer is a proper one and the server goes on."""
    rng = random.Random(1)
    requests = [(METHODS[n % len(METHODS)], rng.randbytes(rng.randint(1, 60))) for n in range(600)]
    answers = [raw.answer(method, data) for method, data in requests]
    refused = [each for each in answers if isinstance(each, akin.AkinError)]
    assert len(refused) > 500
    assert PROPER >= {each.code for each in refused}
    assert [] == [each.message for each in refused if leaks(each.message)]
    assert client.is_serving()


@pytest.mark.usefixtures("unchanged")
def test_damaged_messages_do_no_harm(client: akin.Client, raw: RawClient, prefix: str) -> None:
    """A message with a byte flipped is answered properly, and stored or refused accordingly."""
    item = akin.item(f"{prefix}1", "A perfectly fine text", {"price": 4.5, "tags": ["a"]})
    good = pb.UpsertItemRequest(item=item).SerializeToString()
    rng = random.Random(2)
    for _ in range(150):
        damaged = bytearray(good)
        damaged[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        answer = raw.answer("UpsertItem", bytes(damaged))
        if isinstance(answer, akin.AkinError):
            assert answer.code in PROPER
            assert not leaks(answer.message)
        else:
            stored = pb.UpsertItemResponse.FromString(answer).item
            assert stored == client.get_item(stored.item_id)
            client.delete_item(stored.item_id)


@pytest.mark.usefixtures("unchanged")
def test_message_of_20_mib_is_refused(raw: RawClient) -> None:
    """A message beyond 16 MiB is refused by a unary and by a streaming call."""
    text = "word " * (4 * 1024 * 1024)
    item = akin.Item(item_id="big", text=text)
    with invalid("message"):
        raw.call("UpsertItem", pb.UpsertItemRequest(item=item).SerializeToString())
    with invalid("message"):
        list(raw.stream([imported(item)]))


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (imported(*(akin.Item(item_id=str(n), text="x") for n in range(1_001))), "items"),
        (b"\xff", "message"),
        (pb.ImportItemsRequest(catalog="No Such").SerializeToString(), "catalog"),
    ],
    ids=["1,001 items", "no message", "malformed catalog"],
)
def test_bad_import_message_ends_the_import(
    client: akin.Client, raw: RawClient, prefix: str, bad: bytes, field: str
) -> None:
    """A bad message ends an import; what came before it stays, what follows is not stored."""
    first, last = (akin.item(f"{prefix}{n}", f"Text {n} of a broken import") for n in (1, 2))
    replies = raw.stream([imported(first), bad, imported(last)])
    (result,) = pb.ImportItemsResponse.FromString(next(replies)).results
    assert client.get_item(f"{prefix}1").sequence == result.sequence
    total = client.list_items(1).total_size
    with invalid(field):
        list(replies)
    assert total == client.list_items(1).total_size
    with pytest.raises(akin.AkinError):
        client.get_item(f"{prefix}2")


def test_users_before_a_bad_message_are_stored(
    client: akin.Client, raw: RawClient, prefix: str
) -> None:
    """Messages with users before one that cannot be read are stored and answered, then it fails."""
    user_ids = [f"{prefix}{number}" for number in range(2)]
    good = [
        pb.ImportUsersRequest(
            users=[akin.User(user_id=user_id, preferences=[akin.Preference(text=user_id)])]
        ).SerializeToString()
        for user_id in user_ids
    ]
    responses = raw.stream([*good, b"\xff"], "ImportUsers")
    for user_id in user_ids:
        (result,) = pb.ImportUsersResponse.FromString(next(responses)).results
        assert client.get_user(user_id).sequence == result.sequence
    with invalid("message"):
        next(responses)


def test_unknown_method(raw: RawClient) -> None:
    """A method that does not exist is UNIMPLEMENTED."""
    with pytest.raises(akin.AkinError) as caught:
        raw.call("NoSuchMethod", b"")
    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code


def secretive_requests() -> list[tuple[str, Message]]:
    """Requests full of the marker, right and wrong ones, for every method."""
    item = akin.item(MARKER, f"{MARKER} text", {MARKER: MARKER})
    bad_item = akin.Item(item_id=f"{MARKER}\n", text=f"{MARKER} " * 100_000)
    bad_user = akin.User(user_id=f"{MARKER}\n", preferences=[akin.Preference(text=MARKER)] * 101)
    user = akin.User(user_id=MARKER, preferences=[akin.Preference(text=MARKER)])
    return [
        ("UpsertItem", pb.UpsertItemRequest(item=item)),
        ("UpsertItem", pb.UpsertItemRequest(item=item, expected_sequence=0)),
        ("UpsertItem", pb.UpsertItemRequest(item=bad_item)),
        ("UpsertItem", pb.UpsertItemRequest(catalog=MARKER, item=item)),
        ("GetItem", pb.GetItemRequest(item_id=f"no {MARKER}")),
        ("GetItem", pb.GetItemRequest(item_id=f"{MARKER}\n")),
        ("ListItems", pb.ListItemsRequest(page_token=MARKER)),
        ("UpsertUser", pb.UpsertUserRequest(user=user)),
        ("UpsertUser", pb.UpsertUserRequest(user=bad_user)),
        ("GetUser", pb.GetUserRequest(user_id=f"no {MARKER}")),
        ("RecommendSimilar", pb.RecommendSimilarRequest(text=f"{MARKER} " * 100_000)),
        ("RecommendSimilar", pb.RecommendSimilarRequest(text=MARKER)),
        ("RecommendSimilar", pb.RecommendSimilarRequest(item_id=f"no {MARKER}")),
        (
            "RecommendSimilar",
            pb.RecommendSimilarRequest(text=MARKER, exclude_item_ids=[f"{MARKER}\n"]),
        ),
        ("DeleteUser", pb.DeleteUserRequest(user_id=f"no {MARKER}")),
        ("DeleteItem", pb.DeleteItemRequest(item_id=f"no {MARKER}")),
    ]


def test_callers_words_stay_between_us(tmp_path: Path) -> None:
    """Errors name ids, in quotes, and no text or attribute. The log has none of these."""
    requests = secretive_requests()
    bad = pb.ImportItemsRequest(items=[akin.Item(item_id="1", text=f"{MARKER} " * 99_999)])
    with RunningServer(tmp_path, LOG_LEVEL="debug") as server, RawClient(server.address) as raw:
        answers = [raw.answer(method, each.SerializeToString()) for method, each in requests]
        (response,) = raw.stub.ImportItems(iter([bad]))
        assert MARKER not in response.results[0].message
        assert 0 == server.stop()
    refused = [each for each in answers if isinstance(each, akin.AkinError)]
    assert 13 == len(refused)
    messages = "".join(f"{each} {each.violations}" for each in refused)
    assert MARKER not in re.sub(f"'(no )?{MARKER}'", "", messages)
    assert len(requests) + 1 == len(server.events("call"))
    assert [] == server.events("call_failed")
    assert MARKER not in "\n".join(server.log)
    assert all(line.startswith("{") for line in server.log)


@pytest.mark.parametrize(
    "path",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
@pytest.mark.parametrize("data", NO_MESSAGES.values(), ids=NO_MESSAGES.keys())
def test_malformed_health_checks_and_reflection(raw: RawClient, path: str, data: bytes) -> None:
    """Malformed requests of health checks and of reflection get INVALID_ARGUMENT in our words."""
    call = raw.channel.stream_stream(path, bytes, bytes)(iter([data]), timeout=WAIT_SECONDS)
    with pytest.raises(grpc.RpcError):
        list(call)
    assert grpc.StatusCode.INVALID_ARGUMENT == call.code()
    assert call.details().startswith("message must be a grpc.")


@pytest.mark.parametrize(
    "path",
    [
        "/akin.v1.RecommenderService/ListItems",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    ],
)
def test_a_call_that_ends_without_a_request(raw: RawClient, path: str) -> None:
    """A call whose caller sends no request, and will send none, ends at once."""
    call = raw.channel.stream_stream(path, bytes, bytes)(iter([]), timeout=WAIT_SECONDS)
    with pytest.raises(grpc.RpcError):
        list(call)
    assert grpc.StatusCode.INVALID_ARGUMENT == call.code()
    assert call.details() == "message must be sent"
