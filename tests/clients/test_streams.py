import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

import akin
import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from support.recording import RecordingServer
from support.scripted import Failure
from support.server import WAIT_SECONDS

ITEM = akin.item("a", "the sea")
IMPORTED = akin.ImportItemsResponse(results=[akin.ItemResult(item_id="a")])
PROGRESS = akin.FindDuplicatesResponse(extent=akin.Extent(item_count=2, examined_count=1))
FOUND = akin.FindDuplicatesResponse(groups=[akin.DuplicateGroup()])

Ask = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize(
    ("call", "given", "options", "seconds"),
    [
        ("find_duplicates", (), {}, 600),
        ("find_outliers", (), {}, 600),
        ("cluster_items", (), {}, 600),
        ("find_duplicates", (), {"timeout_seconds": 50}, 50),
        ("find_outliers", (), {"timeout_seconds": 50}, 50),
        ("cluster_items", (), {"timeout_seconds": 50}, 50),
        ("classify_text", ("sea", "topic"), {}, 20),
        ("search_passages", ("sea",), {}, 20),
    ],
)
async def test_every_call_has_its_deadline(
    ask: Ask, call: str, given: tuple[Any, ...], options: dict[str, Any], seconds: float
) -> None:
    """What goes through a catalog has minutes or what it is given, all else the client's time."""
    with RecordingServer() as server:
        await ask(server.address, call, *given, **options)
    assert seconds - 10 < server.seconds[0] < seconds + 1


async def test_a_stream_is_all_its_answers(ask: Ask) -> None:
    """The answers of a stream come one by one, in order."""
    with RecordingServer({"FindDuplicates": [PROGRESS, FOUND]}) as server:
        assert [PROGRESS, FOUND] == await ask(server.address, "find_duplicates")


async def test_a_stream_ends_with_its_error(ask: Ask) -> None:
    """The error that ends a stream is decoded like that of any other call."""
    info = error_details_pb2.ErrorInfo(reason="ITEM_NOT_FOUND", domain="akin")
    failure = Failure(grpc.StatusCode.NOT_FOUND, "there is no item a", (info,))
    with RecordingServer({"FindDuplicates": [PROGRESS]}, failure=failure) as server:
        with pytest.raises(akin.AkinError) as caught:
            await ask(server.address, "find_duplicates", item_id="a")
    error = caught.value
    assert (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND") == (error.code, error.reason)
    assert "there is no item a" == error.message


async def test_a_broken_stream_is_not_repeated(ask: Ask) -> None:
    """A stream that breaks is told as broken, and not asked for again."""
    failure = Failure(grpc.StatusCode.UNAVAILABLE)
    with RecordingServer({"FindDuplicates": [PROGRESS]}, failure=failure) as server:
        with pytest.raises(akin.AkinError) as caught:
            await ask(server.address, "find_duplicates")
        assert 1 == len(server.requests)
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code


async def test_a_stream_keeps_its_deadline(ask: Ask) -> None:
    """A stream that does not end in time ends with DEADLINE_EXCEEDED."""
    with RecordingServer(held=True) as server, pytest.raises(akin.AkinError) as caught:
        await ask(server.address, "find_duplicates", timeout_seconds=0.3)
    assert grpc.StatusCode.DEADLINE_EXCEEDED == caught.value.code


@pytest.mark.parametrize(
    ("call", "given", "method", "answer"),
    [
        ("find_duplicates", (), "FindDuplicates", PROGRESS),
        ("import_item_batches", ([ITEM],), "ImportItems", IMPORTED),
    ],
)
async def test_a_stream_that_is_left_ends(
    call: str, given: tuple[Any, ...], method: str, answer: Message
) -> None:
    """Whoever stops going through a stream ends the call, and the server learns of it."""
    with RecordingServer({method: [answer]}, held=True) as server:
        with akin.Client(server.address) as client:
            for _ in getattr(client, call)(*given):
                break
            assert server.left.wait(WAIT_SECONDS)
    with RecordingServer({method: [answer]}, held=True) as server:
        async with akin.AsyncClient(server.address) as client_of_loop:
            stream = cast(AsyncGenerator[Message, None], getattr(client_of_loop, call)(*given))
            async with aclosing(stream) as answers:
                assert answer == await anext(answers)
            assert await asyncio.to_thread(server.left.wait, WAIT_SECONDS)
