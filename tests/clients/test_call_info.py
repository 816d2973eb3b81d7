"""What callers learn about their calls, from a real server."""

import asyncio
import re
import threading
from collections.abc import Iterator

import akin
import pytest
from akin._call_info import CallInfo
from support.server import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("call-info"), EMBEDDER="local") as running:
        yield running


def test_blocking_call_sends_its_id_and_reads_the_timing(server: RunningServer) -> None:
    """A call has the given id, and the seconds of its stages in the server."""
    with server.client() as client, akin.call_info(request_id="blocking") as info:
        client.recommend_similar(text="tea")
    assert "blocking" == info.request_id
    assert {"embed", "total"} <= info.server_timing.keys()
    assert 0 < info.server_timing["embed"] < info.server_timing["total"]
    assert ["blocking"] == _logged_ids(server, "blocking")


async def test_async_calls_in_turns_have_their_own_ids(server: RunningServer) -> None:
    """Calls of several tasks at once do not mix their ids."""

    async def call(client: akin.AsyncClient, request_id: str) -> CallInfo:
        with akin.call_info(request_id) as info:
            await client.list_items()
        return info

    async with akin.AsyncClient(server.address) as client:
        infos = await asyncio.gather(*(call(client, f"task-{number}") for number in range(8)))
    assert [f"task-{number}" for number in range(8)] == [info.request_id for info in infos]
    assert all(info.server_timing["total"] > 0 for info in infos)


async def test_streams_have_ids(server: RunningServer) -> None:
    """Response streams and imports of both clients send the id and read the timing at the end."""
    with server.client() as client:
        for stream in (client.find_duplicates, lambda: client.import_items([akin.item("i", "x")])):
            with akin.call_info("blocking-stream") as info:
                assert list(stream())
            assert ("blocking-stream", True) == (info.request_id, "total" in info.server_timing)
    async with akin.AsyncClient(server.address) as aio:
        for open_stream in (aio.find_duplicates, lambda: aio.import_items([akin.item("i", "x")])):
            with akin.call_info("async-stream") as info:
                assert [part async for part in open_stream()]
            assert ("async-stream", True) == (info.request_id, "total" in info.server_timing)


def test_server_makes_an_id(server: RunningServer) -> None:
    """Without an id, the caller reads the one that the server made, of each call."""
    with server.client() as client, akin.call_info() as info:
        client.list_items()
        first = info.request_id
        client.list_items()
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert info.request_id != first


async def test_errors_have_the_id(server: RunningServer) -> None:
    """The error of a call has its id, with and without `call_info`."""
    with server.client() as client, akin.call_info("lost-1"):
        with pytest.raises(akin.AkinError) as caught:
            client.get_item("no such item")
        assert "lost-1" == caught.value.request_id
    async with akin.AsyncClient(server.address) as aio:
        with pytest.raises(akin.AkinError) as caught:
            await aio.get_item("no such item")
    assert re.fullmatch("[0-9a-f]{16}", caught.value.request_id)


def test_errors_of_the_connection_have_no_id() -> None:
    """No server gave an id to a call that reached none."""
    with (
        akin.Client("127.0.0.1:1", timeout_seconds=0.2) as client,
        pytest.raises(akin.AkinError) as caught,
    ):
        client.get_item("x")
    assert "" == caught.value.request_id


def test_other_threads_are_not_observed(server: RunningServer) -> None:
    """A call of another thread has an id of its own."""
    with server.client() as client, akin.call_info("mine") as info:
        thread = threading.Thread(target=client.list_items)
        thread.start()
        thread.join()
    assert {} == info.server_timing


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("embed;dur=1.500, total;dur=2", {"embed": 0.0015, "total": 0.002}),
        ("cache, proxy;desc=hit,total;dur=2.5", {"total": 0.0025}),
        ("", {}),
    ],
)
def test_timing_of_others_is_ignored(header: str, seconds: dict[str, float]) -> None:
    """Entries without a duration, which proxies may add, are left out."""
    info = CallInfo("")
    info.read((("server-timing", header),))
    assert seconds == info.server_timing


async def test_client_of_a_catalog_shares_the_connection(server: RunningServer) -> None:
    """A client of another catalog reads and writes there, and the first one where it did."""
    with server.client() as client:
        client.create_catalog("books")
        books = client.catalog("books")
        books.upsert_item("isbn-1", "A novel about a lighthouse")
        assert ["isbn-1"] == [item.item_id for item in books.list_items().items]
        assert "books" == books.get_catalog().name
        assert "isbn-1" not in [item.item_id for item in client.list_items().items]
        assert "default" == books.catalog("").get_catalog().name
    async with akin.AsyncClient(server.address) as aio:
        assert "isbn-1" == (await aio.catalog("books").get_item("isbn-1")).item_id


def _logged_ids(server: RunningServer, request_id: str) -> list[str]:
    """Returns the id as the log has it, which appears soon after the reply."""
    while True:
        ids = [line["request_id"] for line in server.events("call")]
        if request_id in ids:
            return [logged for logged in ids if logged == request_id]
