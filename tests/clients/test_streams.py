import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

import akin
import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from support.recommender_calls import ITEM, ITEM_BATCH, NEW
from support.recording import RecordingServer
from support.scripted import Failure
from support.server import WAIT_SECONDS

HALF = akin.Coverage(item_count=2, examined_item_count=1)
PROGRESS = akin.FindDuplicatesResponse(progress=akin.DuplicatesProgress(coverage=HALF))
GROUPS = akin.FindDuplicatesResponse(groups=akin.DuplicateGroups(groups=[akin.DuplicateGroup()]))

Call = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize(
    ("method", "arguments", "options", "timeout_seconds"),
    [
        ("find_duplicates", (), {}, 600),
        ("find_outliers", (), {}, 600),
        ("cluster_items", (), {}, 600),
        ("batch_delete_items", (), {"where": NEW}, 600),
        ("find_duplicates", (), {"timeout_seconds": 50}, 50),
        ("find_outliers", (), {"timeout_seconds": 50}, 50),
        ("cluster_items", (), {"timeout_seconds": 50}, 50),
        ("batch_delete_items", (), {"where": NEW, "timeout_seconds": 50}, 50),
        ("batch_delete_items", (["a"],), {"timeout_seconds": 50}, 50),
        ("batch_delete_items", (["a"],), {}, 20),
        ("batch_get_items", (["a"],), {}, 20),
        ("batch_recommend", ([{"text": "sea"}],), {}, 20),
        ("update_item", ("a",), {"text": "sea"}, 20),
        ("list_users", (), {}, 20),
        ("rollback_reembedding", (), {}, 20),
        ("classify_text", ("sea", "topic"), {}, 20),
        ("search_passages", ("sea",), {}, 20),
    ],
)
async def test_every_call_has_a_deadline(
    call: Call,
    method: str,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    timeout_seconds: float,
) -> None:
    """A call has its own deadline if it can go through a whole catalog, and else the client's."""
    with RecordingServer() as server:
        await call(server.address, method, *arguments, **options)
    assert timeout_seconds - 10 < server.timeouts_seconds[0] < timeout_seconds + 1


async def test_a_stream_yields_all_responses(call: Call) -> None:
    """The responses of a stream arrive one by one, in order."""
    with RecordingServer({"FindDuplicates": [PROGRESS, GROUPS]}) as server:
        assert [PROGRESS, GROUPS] == await call(server.address, "find_duplicates")


async def test_a_stream_ends_with_its_error(call: Call) -> None:
    """The error that ends a stream is decoded like that of any other call."""
    info = error_details_pb2.ErrorInfo(reason="ITEM_NOT_FOUND", domain="akin")
    failure = Failure(grpc.StatusCode.NOT_FOUND, "item a does not exist", (info,))
    with RecordingServer({"FindDuplicates": [PROGRESS]}, failure=failure) as server:
        with pytest.raises(akin.AkinError) as caught:
            await call(server.address, "find_duplicates", item_id="a")
    error = caught.value
    assert (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND") == (error.code, error.reason)
    assert "item a does not exist" == error.message


async def test_a_broken_stream_is_not_retried(call: Call) -> None:
    """A stream that breaks raises its error, and the client does not send the request again."""
    failure = Failure(grpc.StatusCode.UNAVAILABLE)
    with RecordingServer({"FindDuplicates": [PROGRESS]}, failure=failure) as server:
        with pytest.raises(akin.AkinError) as caught:
            await call(server.address, "find_duplicates")
        assert 1 == len(server.requests)
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code


async def test_a_stream_keeps_its_deadline(call: Call) -> None:
    """A stream that does not end before its deadline ends with DEADLINE_EXCEEDED."""
    with RecordingServer(held=True) as server, pytest.raises(akin.AkinError) as caught:
        await call(server.address, "find_duplicates", timeout_seconds=0.3)
    assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code


@pytest.mark.parametrize(
    ("method", "arguments", "rpc", "response"),
    [
        ("find_duplicates", (), "FindDuplicates", PROGRESS),
        ("import_item_batches", ([ITEM],), "ImportItems", ITEM_BATCH),
    ],
)
async def test_leaving_a_stream_ends_the_call(
    method: str, arguments: tuple[Any, ...], rpc: str, response: Message
) -> None:
    """A caller that stops to iterate over a stream ends the call, also on the server."""
    with RecordingServer({rpc: [response]}, held=True) as server:
        with akin.Client(server.address) as client:
            for _ in getattr(client, method)(*arguments):
                break
            assert server.held_call_ended.wait(WAIT_SECONDS)
    with RecordingServer({rpc: [response]}, held=True) as server:
        async with akin.AsyncClient(server.address) as async_client:
            stream = cast(AsyncGenerator[Message, None], getattr(async_client, method)(*arguments))
            async with aclosing(stream) as responses:
                assert response == await anext(responses)
            assert await asyncio.to_thread(server.held_call_ended.wait, WAIT_SECONDS)
