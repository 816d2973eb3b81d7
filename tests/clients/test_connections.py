import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import akin
import grpc
import pytest
from akin import _policy
from akin.v1 import recommender_service_pb2 as pb
from google.rpc import error_details_pb2
from support.command import run
from support.imports import IDLE_SECONDS, ITEMS, endless_items, import_async, import_blocking
from support.recording import RecordingServer
from support.scripted import Failure, ScriptedServer
from support.server import WAIT_SECONDS, RunningServer, environment
from support.slow_imports import SlowImportServer
from support.sockets import Listener, Proxy, Relay

# Calls after which a server that has had none will have none. The connections of a client are ready
# at different times.
READ_COUNT = 2_000


@pytest.fixture(params=[import_blocking, import_async])
def send(request: pytest.FixtureRequest) -> Callable[..., Awaitable[list[Any]]]:
    """A function that imports items, once for each kind of client."""
    kind: Callable[..., Awaitable[list[Any]]] = request.param
    return kind


async def test_a_frozen_server_ends_an_import(tmp_path: Path, send: Any) -> None:
    """An import into a server whose process is frozen ends with an error that names the server."""

    def items() -> Iterator[akin.Item]:
        yield from ITEMS
        server.freeze()
        yield from ITEMS

    with RunningServer(tmp_path) as server:
        with pytest.raises(akin.AkinError) as caught:
            await send(server.address, items())
        address = server.address
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code
    assert f"the server at {address} has not responded for 2 seconds" == caught.value.message


async def test_a_vanished_server_ends_an_import(tmp_path: Path, send: Any) -> None:
    """An import ends with an error if the network silently drops all bytes in the middle of it."""

    def items() -> Iterator[akin.Item]:
        yield from ITEMS
        relay.cut()
        yield from ITEMS

    with RunningServer(tmp_path) as server, Relay(server.address) as relay:
        with pytest.raises(akin.AkinError) as caught:
            await send(relay.address, items())
        address = relay.address
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code
    assert address in caught.value.message


async def test_a_silent_listener_ends_an_import(send: Any) -> None:
    """An import ends with an error if something accepts the connection and never responds."""
    with Listener() as listener:
        with pytest.raises(akin.AkinError) as caught:
            await send(listener.address, iter(ITEMS))
        assert listener.connection_count
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code


async def test_a_killed_server_ends_an_import(tmp_path: Path, send: Any) -> None:
    """A busy import into a server that is killed ends with an error that names the server."""

    def items() -> Iterator[akin.Item]:
        yield from ITEMS
        server.kill()
        yield from endless_items()

    with RunningServer(tmp_path) as server:
        with pytest.raises(akin.AkinError) as caught:
            await send(server.address, items())
        address = server.address
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code
    assert f"the server at {address} is unavailable: " in caught.value.message


async def test_an_error_of_the_server_ends_a_busy_import(send: Any) -> None:
    """An error that ends an import in the middle of its messages is raised with its reason."""
    info = error_details_pb2.ErrorInfo(reason="OVERLOADED")
    failure = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", (info,))
    with RecordingServer(failure=failure) as server:
        with pytest.raises(akin.AkinError) as caught:
            await send(server.address, endless_items())
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == caught.value.code
    assert ("overloaded", "OVERLOADED") == (caught.value.message, caught.value.reason)


@pytest.mark.parametrize(
    "health",
    [
        grpc.StatusCode.OK,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAVAILABLE,
    ],
)
async def test_a_slow_server_does_not_end_an_import(health: grpc.StatusCode, send: Any) -> None:
    """An import waits for a server that is slow, as long as the server answers health checks."""
    with SlowImportServer(health, checks=2) as server:
        assert [pb.ImportItemsResponse()] == await send(server.address, iter(ITEMS[:1]))
        assert 2 <= server.check_count


@pytest.mark.parametrize("responses", [0, 1])
async def test_an_import_that_ends_early_is_an_error(responses: int, send: Any) -> None:
    """An import that the server ends with OK before it has answered all messages is an error."""
    batches = [pb.ImportItemsResponse()] * responses
    with RecordingServer({"ImportItems": batches}, ends_imports=True) as server:
        with pytest.raises(akin.AkinError) as caught:
            await send(server.address, iter(ITEMS))
    assert grpc.StatusCode.INTERNAL == caught.value.code
    assert "the server ended the import early" == caught.value.message


async def test_many_failures_stop_the_retries() -> None:
    """After many failures, the client sends each call once, so that retries do not add load."""
    failures = [Failure(grpc.StatusCode.UNAVAILABLE)] * 2_000
    with ScriptedServer(*failures) as server:
        async with akin.AsyncClient(server.address) as client:
            calls = [client.get_item(str(number)) for number in range(300)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {akin.AkinError} == set(map(type, results))
            server.requests.clear()
            with pytest.raises(akin.AkinError):
                await client.get_item("last")
            assert 1 == len(server.requests)


def test_a_closed_client_ends_its_streams() -> None:
    """A stream whose client is closed ends with CANCELLED, and is not taken for an idle one."""
    with SlowImportServer(grpc.StatusCode.OK, checks=1) as server:
        with akin.Client(server.address, idle_timeout_seconds=IDLE_SECONDS) as client:
            batches = client.import_item_batches(endless_items())
            next(batches)
        with pytest.raises(akin.AkinError) as caught:
            list(batches)
    assert grpc.StatusCode.CANCELLED == caught.value.code


@pytest.mark.parametrize(
    "address",
    [
        "localhost:50051",
        "LOCALHOST:1",
        "localhost",
        "127.0.0.1:50051",
        "127.8.8.8",
        "[::1]:50051",
        "::1",
        "dns:localhost:1",
        "dns:///127.0.0.1:1",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1",
        "unix:/run/akin.sock",
        "unix-abstract:akin",
    ],
)
def test_an_address_of_this_machine_is_loopback(address: str) -> None:
    """No proxy is used for an address of this machine, in every form that gRPC accepts."""
    assert _policy.is_loopback(address)
    assert ("grpc.enable_http_proxy", 0) in _policy.channel_options(address)


@pytest.mark.parametrize(
    "address",
    [
        "akin.internal:50051",
        "127.0.0.1.example.org:1",
        "localhost.example.org:1",
        "10.0.0.1:50051",
        "[2001:db8::1]:50051",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "dns://127.0.0.1/akin.internal:1",
        "xds:///localhost",
        "",
    ],
)
def test_another_address_is_not_loopback(address: str) -> None:
    """The proxies of the environment apply to every other address."""
    assert not _policy.is_loopback(address)
    assert ("grpc.enable_http_proxy", 1) in _policy.channel_options(address)


@pytest.mark.parametrize(
    "names",
    [
        ("http_proxy",),
        ("https_proxy",),
        ("grpc_proxy",),
        ("all_proxy", "ALL_PROXY"),
        ("HTTP_PROXY", "HTTPS_PROXY"),
    ],
)
def test_no_proxy_is_used_on_this_machine(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Health checks and commands reach a server on this machine without the proxy."""
    check = "import akin, sys; raise SystemExit(not akin.Client(sys.argv[1]).is_serving())"
    with RunningServer(tmp_path) as server, Proxy() as proxy:
        values = dict.fromkeys(names, proxy.url)
        port = server.address.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost"):
            address = f"{host}:{port}"
            checked = subprocess.run(
                [sys.executable, "-c", check, address],
                cwd=tmp_path,
                env=environment(tmp_path) | values,
                timeout=WAIT_SECONDS,
                check=False,
            )
            assert 0 == checked.returncode
            words = ("status", "--address", address)
            assert 0 == run(*words, folder=tmp_path, variables=values).status
        assert 0 == proxy.connection_count


Reading = Callable[[str, Callable[[], bool]], Awaitable[None]]


async def read_blocking(address: str, is_done: Callable[[], bool]) -> None:
    with akin.Client(address) as client:
        for _ in range(READ_COUNT):
            client.get_item("a")
            if is_done():
                return


async def read_async(address: str, is_done: Callable[[], bool]) -> None:
    async with akin.AsyncClient(address) as client:
        for _ in range(READ_COUNT):
            await client.get_item("a")
            if is_done():
                return


@pytest.mark.parametrize("read", [read_blocking, read_async])
async def test_calls_are_spread_over_all_addresses(read: Reading) -> None:
    """A name with several addresses stands for replicas: each of them gets a share of the calls."""
    with ScriptedServer() as first, ScriptedServer() as second:
        await read(
            f"ipv4:{first.address},{second.address}",
            lambda: bool(first.requests and second.requests),
        )
    assert first.requests
    assert second.requests


@pytest.mark.parametrize("read", [read_blocking, read_async])
async def test_a_call_that_fails_on_one_replica_is_repeated_on_another(read: Reading) -> None:
    """A replica that refuses every call delays calls and fails none, as long as another serves."""
    refusals = [Failure(grpc.StatusCode.UNAVAILABLE)] * READ_COUNT
    with ScriptedServer(*refusals) as first, ScriptedServer() as second:
        await read(f"ipv4:{first.address},{second.address}", lambda: len(first.requests) > 1)
    assert len(first.requests) > 1
    assert second.requests
