"""The JSON API over a channel: the application in this process, the methods in a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import grpc
import httpx
import pytest
from support.http_server import HttpServer
from support.security import entry, write_keys
from support.server import WAIT_SECONDS, RunningServer, free_address
from support.waiting import until

from service.api.channel_calls import CHANNEL_OPTIONS, ChannelCaller
from service.api.server import SERVICES
from service.http.application import Application
from service.http.http_listener import HttpListener
from service.server.listen_addresses import open_listeners

ITEMS = "/v1/catalogs/default/items"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(keys, entry("all", "read", "write", "admin"), entry("reader", "read"))
    with HttpServer(
        tmp_path_factory.mktemp("channel"), API_KEYS=str(keys), EMBEDDER="local"
    ) as running:
        yield running


@asynccontextmanager
async def application_over(
    address: str, authorization: str = "Bearer all-key"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process that calls a server over a channel."""
    async with grpc.aio.insecure_channel(address, CHANNEL_OPTIONS) as channel:
        application = Application(SERVICES, ChannelCaller(channel, authorization))
        listener = HttpListener(application, None)
        sockets = open_listeners("127.0.0.1:0", shared_port=False)
        await listener.start(sockets)
        port = sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(
                base_url=url, timeout=WAIT_SECONDS, trust_env=False
            ) as client:
                yield client
        finally:
            await listener.drain(0, asyncio.Event())
            application.close()


async def test_calls_reach_the_server(server: HttpServer) -> None:
    """Items are stored and read over the channel, with the request id and the timing."""
    async with application_over(server.address) as http:
        stored = await http.put(f"{ITEMS}/a%2Fb", json={"text": "A kite"})
        assert 200 == stored.status_code
        read = await http.get(f"{ITEMS}/a%2Fb", headers={"x-request-id": "channel-1"})
    assert "A kite" == read.json()["item"]["text"]
    assert "channel-1" == read.headers["x-request-id"]
    assert "total;dur=" in read.headers["server-timing"]
    until(lambda: "channel-1" in [call["request_id"] for call in server.events("call")])


async def test_errors_are_those_of_the_server(server: HttpServer) -> None:
    """A status has the same JSON over a channel as from the server itself, with its details."""
    paths = [f"{ITEMS}/nobody", f"{ITEMS}/{'x' * 300}", f"{ITEMS}?pageSize=-1", f"{ITEMS}?x=1"]
    headers = {"authorization": "Bearer reader-key"}
    with server.http(headers=headers) as direct:
        expected = [(r.status_code, r.json()) for r in map(direct.get, paths)]
    async with application_over(server.address) as http:
        responses = [await http.get(path) for path in paths]
    assert expected == [(response.status_code, response.json()) for response in responses]


async def test_the_key_of_the_caller_comes_first(server: HttpServer) -> None:
    """A request with a key is made with it, and another one with that of the application."""
    item = {"text": "A kite"}
    async with application_over(server.address) as http:
        reader = {"authorization": "Bearer reader-key"}
        assert 403 == (await http.put(f"{ITEMS}/a", json=item, headers=reader)).status_code
        assert 200 == (await http.put(f"{ITEMS}/a", json=item)).status_code
    async with application_over(server.address, "") as http:
        assert 401 == (await http.get(f"{ITEMS}/a")).status_code


async def test_streams_go_through_the_channel(server: HttpServer) -> None:
    """Imports and streams of responses work line by line, as from the server itself."""
    rows = [{"itemId": f"row/{n}", "text": f"Row {n}" if n else ""} for n in range(600)]
    body = "".join(f"{json.dumps(row)}\n" for row in rows)
    headers = {"content-type": "application/x-ndjson"}
    async with application_over(server.address) as http:
        imported = await http.post(f"{ITEMS}:import", content=body, headers=headers)
        found = await http.post(f"{ITEMS}:findDuplicates", json={})
        missing = "/v1/catalogs/no-such/items:import"
        failed = await http.post(missing, content=body, headers=headers)
    *refused, summary = map(json.loads, imported.text.splitlines())
    assert [1] == [line["line"] for line in refused]
    assert (599, 1) == (summary["stored"], summary["refused"])
    assert "groups" in found.text.splitlines()[-1]
    assert 404 == failed.status_code, failed.text


async def test_a_client_that_leaves_cancels_the_call(server: HttpServer) -> None:
    """The end of an import whose client leaves is the end of the call over the channel."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"itemId":"left","text":"A kite"}\n'
        await asyncio.Event().wait()

    headers = {"content-type": "application/x-ndjson", "x-request-id": "channel-left"}
    async with application_over(server.address) as http:
        request = http.post(f"{ITEMS}:import", content=body(), headers=headers)
        sending = asyncio.create_task(request)
        with server.http(headers={"authorization": "Bearer all-key"}) as direct:
            is_stored = partial(_is_stored, direct, f"{ITEMS}/left")
            await asyncio.to_thread(until, is_stored)
        sending.cancel()
        await asyncio.wait({sending})
    # If the server reads the end of the stream before it learns of the cancellation, it logs OK.
    until(lambda: "channel-left" in [call["request_id"] for call in server.events("call")])


def _is_stored(http: httpx.Client, path: str) -> bool:
    return http.get(path).status_code == httpx.codes.OK


async def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    """Without a server, calls fail with 503."""
    async with application_over(free_address()) as http:
        response = await http.get(ITEMS)
    assert (503, 14) == (response.status_code, response.json()["code"])


async def test_a_server_that_ends_fails_its_calls(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A call that runs when the server dies has an error, and is not left without a response."""
    folder = tmp_path_factory.mktemp("ends")
    with RunningServer(folder, EMBEDDER="local") as running:

        async def body() -> AsyncIterator[bytes]:
            yield b'{"itemId":"left","text":"A kite"}\n'
            await asyncio.to_thread(running.kill)

        headers = {"content-type": "application/x-ndjson"}
        async with application_over(running.address) as http:
            response = await http.post(f"{ITEMS}:import", content=body(), headers=headers)
    assert (503, 14) == (response.status_code, response.json()["code"]) or 14 == json.loads(
        response.text.splitlines()[-1]
    )["error"]["code"]
