from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.http_server import HttpServer
from support.server import WAIT_SECONDS
from support.waiting import until

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with HttpServer(tmp_path_factory.mktemp("http"), EMBEDDER="local") as running:
        yield running


@pytest.fixture
def http(server: HttpServer) -> Iterator[httpx.Client]:
    with server.http() as connected:
        yield connected


@pytest.fixture
def catalog(http: httpx.Client, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").partition("[")[0][:60].rstrip("-")
    assert 200 == http.post("/v1/catalogs", json={"catalog": name}).status_code
    return f"/v1/catalogs/{name}"


def send(http: httpx.Client, path: str, body: Any) -> list[dict[str, Any]]:
    """Sends a body; returns the lines of the response."""
    response = http.post(path, content=body, headers=NDJSON)
    assert 200 == response.status_code, response.text
    assert "application/x-ndjson" == response.headers["content-type"]
    return [json.loads(line) for line in response.text.splitlines()]


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def reason(line: dict[str, Any]) -> str:
    return str(line["error"]["details"][0]["reason"])


def test_items_are_stored_and_refused_by_line(http: httpx.Client, catalog: str) -> None:
    """Valid lines are stored; each invalid one is reported with its number, whatever is wrong."""
    body = b"\n".join(
        [
            b'{"itemId":"a","text":"A sloop"}',
            b"",
            b'{"itemId":"b","text":""}',
            b'{"itemId":"c","text":"A dinghy","colour":"red"}',
            b"no json",
            b"[1]",
            b'{"item_id":"d","text":"A canoe","attributes":{"seats":2}}',
        ]
    )
    *refused, last = send(http, f"{catalog}/items:import", body)
    assert [3, 4, 5, 6] == sorted(line["line"] for line in refused)
    assert {"INVALID_REQUEST"} == set(map(reason, refused))
    assert (2, 4) == (last["stored"], last["refused"])
    item = http.get(f"{catalog}/items/d?minSequence={last['sequence']}").json()["item"]
    assert ("A canoe", 2) == (item["text"], item["attributes"]["seats"])


def test_lines_that_json_cannot_hold_are_refused_alone(http: httpx.Client, catalog: str) -> None:
    """Half of a surrogate pair or a number that would change refuses its line, with the place."""
    body = b"\n".join(
        [
            b'{"itemId":"a","text":"A sloop"}',
            b'{"itemId":"b","text":"A canoe","\\ud800":1}',
            b'{"itemId":"c","text":"A canoe","attributes":{"seats":9007199254740993}}',
            b'{"itemId":"d","text":"A canoe","attributes":{"seats":NaN}}',
            b'{"itemId":"e","text":7}',
            b'{"itemId":"f","text":"A dinghy"}',
        ]
    )
    *refused, last = send(http, f"{catalog}/items:import", body)
    fields = {
        line["line"]: line["error"]["details"][1]["fieldViolations"][0]["field"] for line in refused
    }
    seats = "item.attributes.seats"
    assert {2: "item", 3: seats, 4: seats, 5: "item.text"} == fields
    assert (2, 4) == (last["stored"], last["refused"])


def test_users_and_interactions_are_imported(http: httpx.Client, catalog: str) -> None:
    """The same holds for users and for interactions, whose duplicates are counted."""
    *refused, last = send(
        http,
        f"{catalog}/users:import",
        lines({"userId": "ann", "preferences": [{"text": "boats"}]}, {"userId": ""}),
    )
    assert ([2], 1) == ([line["line"] for line in refused], last["stored"])
    view = {"userId": "ann", "itemId": "a", "type": "VIEW", "time": "2026-01-02T00:00:00Z"}
    *refused, last = send(
        http, f"{catalog}/interactions:import", lines(view, {"userId": "ann"}, view)
    )
    assert [2] == [line["line"] for line in refused]
    assert (1, 1, 1) == (last["stored"], last["duplicates"], last["refused"])


def test_validation_stores_nothing(http: httpx.Client, catalog: str) -> None:
    """With validateOnly in the query, valid lines are counted and nothing is stored."""
    item = {"itemId": "a", "text": "A sloop"}
    (last,) = send(http, f"{catalog}/items:import?validateOnly=true", lines(item))
    assert (0, 1, 1) == (last["stored"], last["valid"], last["usage"]["textCount"])
    assert 404 == http.get(f"{catalog}/items/a").status_code


def test_an_empty_body_is_an_empty_import(http: httpx.Client, catalog: str) -> None:
    """A body without lines stores nothing and succeeds."""
    assert [{"stored": 0, "refused": 0, "sequence": "0"}] == send(
        http, f"{catalog}/items:import", b"\n \n"
    )


def test_many_items_take_several_commits(http: httpx.Client, catalog: str) -> None:
    """Numbers of lines count over all groups of lines, with and without a length of the body."""
    rows = [{"itemId": f"{number}", "text": f"Boat {number}"} for number in range(1_200)]
    rows[700]["text"] = ""
    for body in (lines(*rows), iter([lines(row) for row in rows])):
        *refused, last = send(http, f"{catalog}/items:import", body)
        assert [701] == [line["line"] for line in refused]
        assert (1_199, 1) == (last["stored"], last["refused"])


def test_a_line_of_any_size_is_refused_by_number(http: httpx.Client, catalog: str) -> None:
    """A line beyond the limit of a message is refused, and the lines after it are stored."""
    long = b'{"itemId":"long","text":"' + b"x" * (17 * 1024 * 1024) + b'"}\n'
    *refused, last = send(
        http, f"{catalog}/items:import", long + lines({"itemId": "a", "text": "A sloop"})
    )
    assert [1] == [line["line"] for line in refused]
    assert (1, 1) == (last["stored"], last["refused"])


def test_a_long_line_does_not_end_the_import(http: httpx.Client, catalog: str) -> None:
    """A line that nearly fills a message is refused alone, whatever lines are before it."""
    rows = [{"itemId": f"{number}", "text": "A sloop"} for number in range(10)]
    rows[5]["text"] = "word " * 60_000
    rows[6]["text"] = "word " * (16_650_000 // 5)
    *refused, last = send(http, f"{catalog}/items:import", lines(*rows))
    assert [7] == [line["line"] for line in refused]
    assert (9, 1) == (last["stored"], last["refused"])


def test_a_client_that_reads_late_gets_all_refusals(http: httpx.Client, catalog: str) -> None:
    """A client that sends everything before it reads gets a line for each refused line."""
    *refused, last = send(http, f"{catalog}/items:import", b"no json\n" * 10_000)
    assert list(range(1, 10_001)) == [line["line"] for line in refused]
    assert 10_000 == last["refused"]


def test_an_import_that_fails_at_once_has_its_status(http: httpx.Client) -> None:
    """An error before any result is the status of the response."""
    item = lines({"itemId": "a", "text": "A sloop"})
    missing = http.post("/v1/catalogs/no-such/items:import", content=item, headers=NDJSON)
    assert (404, 5) == (missing.status_code, missing.json()["code"])
    wrong = http.post("/v1/catalogs/default/items:import", json=[])
    assert 415 == wrong.status_code
    unknown = http.post("/v1/catalogs/default/items:import?all=1", content=item, headers=NDJSON)
    assert 400 == unknown.status_code


def test_an_import_that_fails_late_says_what_it_stored(http: httpx.Client, catalog: str) -> None:
    """An error after the first results is in the last line, beside the number of stored lines."""

    def body() -> Iterator[bytes]:
        yield lines({"itemId": "a", "text": "A sloop"})
        until(lambda: http.get(f"{catalog}/items/a").status_code == 200)
        assert 200 == http.delete(catalog).status_code
        yield lines({"itemId": "b", "text": "A dinghy"})

    with httpx.Client(base_url=http.base_url, timeout=WAIT_SECONDS, trust_env=False) as other:
        (last,) = send(other, f"{catalog}/items:import", body())
    assert (1, 5) == (last["stored"], last["error"]["code"])


def test_an_import_whose_client_leaves_keeps_what_it_stored(
    server: HttpServer, http: httpx.Client, catalog: str
) -> None:
    """A client that leaves in the middle of a body ends the call, and its lines stay stored."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        item = lines({"itemId": "a", "text": "A sloop"})
        head = (
            f"POST {catalog}/items:import HTTP/1.1\r\nhost: {host}\r\nx-request-id: left\r\n"
            f"content-type: application/x-ndjson\r\ncontent-length: 1000\r\n\r\n"
        )
        connection.sendall(head.encode() + item)
        until(lambda: http.get(f"{catalog}/items/a").status_code == 200)
    left = ("left", "CANCELLED")
    until(lambda: left in [(call["request_id"], call["code"]) for call in server.events("call")])
    assert [] == server.events("http_failed")
