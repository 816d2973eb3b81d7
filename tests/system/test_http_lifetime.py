from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from support.http_server import HttpServer
from support.provider import ScriptedProvider, settings_for
from support.server import WAIT_SECONDS, RunningServer, refused
from support.waiting import until

ITEM = "/v1/catalogs/default/items/a"


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


def connect(server: HttpServer) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), WAIT_SECONDS)


def refuses(server: HttpServer) -> bool:
    """Tells whether the server accepts no more connections."""
    try:
        connect(server).close()
    except ConnectionError:
        return True
    return False


def codes(server: RunningServer, method: str) -> list[str]:
    return [call["code"] for call in server.events("call") if call["method"] == method]


def test_a_client_that_leaves_cancels_its_call(tmp_path: Path, provider: ScriptedProvider) -> None:
    """A call ends once its client has closed the connection, while the provider still works."""
    with HttpServer(tmp_path, **settings_for(provider)) as server:
        requests = len(provider.requests)
        provider.released.clear()
        body = b'{"text":"A kite"}'
        with connect(server) as connection:
            head = f"PUT {ITEM} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            length = f"content-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + length.encode() + body)
            provider.wait_for_requests(requests + 1)
        until(lambda: codes(server, "UpsertItem") == ["CANCELLED"])
        provider.released.set()
        assert [] == server.events("http_failed")


def test_calls_in_progress_finish_when_the_server_stops(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """After SIGTERM a call that runs gets its response, and no new connection is accepted."""
    settings = settings_for(provider) | {"SHUTDOWN_GRACE_SECONDS": "60"}
    with (
        HttpServer(tmp_path, **settings) as server,
        ThreadPoolExecutor() as threads,
        server.http() as http,
        server.http() as idle,
    ):
        assert 200 == idle.get("/").status_code
        requests = len(provider.requests)
        provider.released.clear()
        stored = threads.submit(http.put, ITEM, json={"text": "A kite"})
        provider.wait_for_requests(requests + 1)
        server.terminate()
        until(lambda: refuses(server))
        with pytest.raises(httpx.TransportError):
            idle.get("/")
        provider.released.set()
        assert 200 == stored.result(WAIT_SECONDS).status_code
        assert "close" == stored.result().headers["connection"]
        assert 0 == server.wait()
        assert ["OK"] == codes(server, "UpsertItem")


def test_a_request_on_its_way_gets_a_response_when_the_server_stops(tmp_path: Path) -> None:
    """A client that has connected before SIGTERM is refused with a response, not with a reset."""
    settings = {"EMBEDDER": "local", "SHUTDOWN_GRACE_SECONDS": "60"}
    with HttpServer(tmp_path, **settings) as server, connect(server) as connection:
        connection.sendall(b"GET /v1/catalogs HTTP/1.1\r\n")
        server.terminate()
        until(lambda: refuses(server))
        connection.sendall(b"host: localhost\r\n\r\n")
        with connection.makefile("rb") as response:
            head, _, body = response.read().partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower().split(b"\r\n")
        assert b"NOT_READY" in body
        assert 0 == server.wait()


def test_the_grace_period_ends_calls(tmp_path: Path, provider: ScriptedProvider) -> None:
    """A call that is not done at the end of the grace period loses its connection."""
    settings = settings_for(provider) | {"SHUTDOWN_GRACE_SECONDS": "0"}
    with (
        HttpServer(tmp_path, **settings) as server,
        ThreadPoolExecutor() as threads,
        server.http() as http,
    ):
        requests = len(provider.requests)
        provider.released.clear()
        stored = threads.submit(http.put, ITEM, json={"text": "A kite"})
        provider.wait_for_requests(requests + 1)
        assert 0 == server.stop()
        provider.released.set()
        assert isinstance(stored.exception(WAIT_SECONDS), httpx.TransportError)
        assert ["CANCELLED"] == codes(server, "UpsertItem")
        assert [] == server.events("http_failed")


def send_import(connection: socket.socket, lines: int) -> None:
    """Sends the head of an import of items, as many lines, and no end of the body."""
    head = (
        "POST /v1/catalogs/default/items:import HTTP/1.1\r\nhost: localhost\r\n"
        "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    rows = ({"itemId": f"{number}", "text": f"Kite {number}"} for number in range(lines))
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    connection.sendall(head.encode() + b"%x\r\n%b\r\n" % (len(body), body))


def test_a_client_that_leaves_cancels_its_import(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    """An import ends once its client has left, also while it waits and has read enough."""
    with HttpServer(tmp_path, **settings_for(provider)) as server:
        requests = len(provider.requests)
        provider.released.clear()
        with connect(server) as connection:
            send_import(connection, lines=5_000)
            provider.wait_for_requests(requests + 1)
        until(lambda: codes(server, "ImportItems") == ["CANCELLED"])
        provider.released.set()
        assert [] == server.events("http_failed")


def test_an_import_ends_with_its_summary_when_the_server_stops(tmp_path: Path) -> None:
    """A client that still sends learns how many of its lines are stored."""
    with (
        HttpServer(tmp_path, EMBEDDER="local", SHUTDOWN_GRACE_SECONDS="60") as server,
        ThreadPoolExecutor() as threads,
        server.http() as http,
        connect(server) as connection,
    ):
        send_import(connection, lines=1)
        until(lambda: http.get("/v1/catalogs/default/items/0").status_code == 200)
        line = b'{"itemId":"0","text":"Kite 0"}\n'
        chunk = b"%x\r\n%b\r\n" % (len(line), line)
        sending = threads.submit(_send_until_closed, connection, chunk)
        server.terminate()
        with connection.makefile("rb") as response:
            assert b"HTTP/1.1 200 OK\r\n" == response.readline()
            summary = json.loads(next(row for row in response if row.startswith(b"{")))
        assert summary["stored"] > 0
        assert ("NOT_READY", 14) == (
            summary["error"]["details"][0]["reason"],
            summary["error"]["code"],
        )
        sending.result(WAIT_SECONDS)
        assert 0 == server.wait()


def test_the_grace_period_ends_imports(tmp_path: Path, provider: ScriptedProvider) -> None:
    """An import that waits for the provider does not keep the server from stopping."""
    settings = settings_for(provider) | {"SHUTDOWN_GRACE_SECONDS": "0"}
    with HttpServer(tmp_path, **settings) as server, connect(server) as connection:
        requests = len(provider.requests)
        provider.released.clear()
        send_import(connection, lines=2_000)
        provider.wait_for_requests(requests + 1)
        assert 0 == server.stop()
        assert ["CANCELLED"] == codes(server, "ImportItems")
        assert [] == server.events("http_failed")


def test_workers_share_the_address(tmp_path: Path) -> None:
    """Requests go to all workers, which listen on one address."""
    with HttpServer(tmp_path, WORKERS="2", EMBEDDER="local") as server:
        server.wait_for("serving", 2)
        addresses = {line["address"] for line in server.events("http_listening")}
        assert {server.url.removeprefix("http://")} == addresses

        def all_have_answered() -> bool:
            with server.http() as http:
                assert 200 == http.get("/v1/catalogs").status_code
            return {0, 1} == {line["worker"] for line in server.events("call")}

        until(all_have_answered)
        assert 0 == server.stop()


def test_a_taken_address_keeps_the_server_from_starting(tmp_path: Path) -> None:
    """A server whose address for HTTP is in use ends with an error that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for workers in ("1", "2"):
            status, lines = refused(tmp_path, HTTP_LISTEN=address, WORKERS=workers)
            assert 2 == status
            assert (
                f"akin serve: cannot listen on {address}: another process uses the port; stop it, "
                "or set AKIN_HTTP_LISTEN to another address"
            ) == lines[-1]


def test_a_server_without_the_packages_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packages are needed only with an address for HTTP, and the error says how to get them."""
    modules = tmp_path / "modules"
    modules.mkdir()
    for name in ("starlette", "uvicorn"):
        (modules / f"{name}.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", str(modules), prepend=":")
    with RunningServer(tmp_path, EMBEDDER="local") as server:
        assert 0 == server.stop()
    status, lines = refused(tmp_path, HTTP_LISTEN="127.0.0.1:0")
    assert 2 == status
    assert "pip install 'akin-service[http]'" in lines[-1]


def test_a_header_without_end_ends_the_connection(tmp_path: Path) -> None:
    """A header beyond the limit is refused, and the connection is closed."""
    with HttpServer(tmp_path, EMBEDDER="local") as server, connect(server) as connection:
        sent = threading.Thread(target=_send_quietly, args=(connection, b"x" * 200_000))
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")
        sent.start()
        assert b"400" in connection.recv(1_000).split(b"\r\n")[0]
        sent.join(WAIT_SECONDS)


def _send_until_closed(connection: socket.socket, data: bytes) -> None:
    """Sends data again and again; a slow reader makes it wait."""
    with suppress(OSError):
        while True:
            connection.sendall(data)


def _send_quietly(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        return
