from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.http_server import HttpServer
from support.server import WAIT_SECONDS, RunningServer
from support.waiting import until

ITEMS = "/v1/catalogs/default/items"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with HttpServer(tmp_path_factory.mktemp("http"), EMBEDDER="local") as running:
        yield running


@pytest.fixture
def http(server: HttpServer) -> Iterator[httpx.Client]:
    with server.http() as connected:
        yield connected


def violated_fields(response: httpx.Response) -> list[str]:
    return [
        violation["field"]
        for detail in response.json()["details"]
        for violation in detail.get("fieldViolations", [])
    ]


def test_an_item_is_stored_and_recommended(http: httpx.Client) -> None:
    """An item that was stored over HTTP is read and recommended over HTTP."""
    stored = http.put(f"{ITEMS}/kite", json={"text": "A kite for strong wind"})
    assert 200 == stored.status_code
    assert "A kite for strong wind" == http.get(f"{ITEMS}/kite").json()["item"]["text"]
    answer = http.post(f"{ITEMS}:recommend", json={"text": "toys that fly in the wind"}).json()
    assert "kite" in [each["itemId"] for each in answer["recommendations"]]


@pytest.mark.parametrize(
    "item_id", ["a/b", "a:b", "100%", "a b+c", "%2F", "日本/語", "?x=1#y", "*"]
)
def test_any_id_can_be_in_a_path(http: httpx.Client, item_id: str) -> None:
    """An id in a path is percent-encoded once, whatever characters it has."""
    path = f"{ITEMS}/" + "".join(f"%{byte:02X}" for byte in item_id.encode())
    assert item_id == http.put(path, json={"text": "A thing"}).json()["item"]["itemId"]
    assert item_id == http.get(path).json()["item"]["itemId"]
    assert 200 == http.delete(path).status_code


def test_an_error_is_a_status_in_json(http: httpx.Client) -> None:
    """A failed call has the HTTP status of its code, and google.rpc.Status with details."""
    response = http.get(f"{ITEMS}/nobody")
    assert 404 == response.status_code
    assert 5 == response.json()["code"]
    assert "ITEM_NOT_FOUND" == response.json()["details"][0]["reason"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("nonsense=1", "nonsense"),
        ("minSequence=x", "min_sequence"),
        ("minSequence=1&minSequence=2", "min_sequence"),
        ("includeVectors=yes", "include_vectors"),
        ("itemId=other", "item_id"),
        ("minSequence=-1", "min_sequence"),
    ],
)
def test_an_invalid_parameter_is_named(http: httpx.Client, query: str, field: str) -> None:
    """A query parameter that is unknown or has an invalid value fails the call with its name."""
    response = http.get(f"{ITEMS}/any?{query}")
    assert (400, [field]) == (response.status_code, violated_fields(response))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"\xff", "body"),
        (b'{"text":"a","text":"b"}', "text"),
        (b'{"text":NaN}', "text"),
        (b'{"secret\\ud800":1}', "body"),
        (b"[" * 5000, "body"),
        (b'{"unheard":1}', "unheard"),
        (b'{"text":1}', "text"),
        (b'{"text":"\\ud800"}', "text"),
        (b'{"limit":"many"}', "limit"),
        (b'{"filter":{"attribute":1}}', "filter.attribute"),
        (b'{"excludeItemIds":"a"}', "exclude_item_ids"),
        (b'{"catalog":"other"}', "catalog"),
    ],
)
def test_an_invalid_body_is_explained(http: httpx.Client, body: bytes, field: str) -> None:
    """A body that is not the JSON form of the request fails the call with the invalid field."""
    response = http.post(
        f"{ITEMS}:recommend", content=body, headers={"content-type": "application/json"}
    )
    assert 400 == response.status_code, response.text
    assert [field] == violated_fields(response), response.text


def test_a_body_needs_its_type(http: httpx.Client) -> None:
    """A body of another type than JSON is refused with 415, as curl sends it by default."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    response = http.post(f"{ITEMS}:recommend", content=b'{"text":"a"}', headers=form)
    assert 415 == response.status_code
    assert 3 == response.json()["code"]


@pytest.mark.parametrize(("headers", "status"), [({}, 404), ({"content-type": "text/plain"}, 415)])
def test_an_empty_body_has_no_other_type(
    http: httpx.Client, headers: dict[str, str], status: int
) -> None:
    """A body without content needs no type, and is refused with another one than JSON."""
    path = "/v1/catalogs/no-such/reembedding:rollback"
    assert status == http.post(path, headers=headers).status_code


def test_a_large_body_is_refused(http: httpx.Client) -> None:
    """A body beyond the limit of a message is refused with 413, and the response arrives."""
    body = b'{"text":"' + b"x" * (16 * 1024 * 1024) + b'"}'
    response = http.post(
        f"{ITEMS}:recommend", content=body, headers={"content-type": "application/json"}
    )
    assert 413 == response.status_code
    assert ["message"] == violated_fields(response)


@pytest.mark.parametrize(
    "request_text",
    [
        "no HTTP\r\n\r\n",
        "GET /v1/catalogs HTTP/1.1\r\n\r\n",
        "POST /v1/catalogs HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_plain_text(server: HttpServer, request_text: str) -> None:
    """A request that is no valid HTTP is refused with 400 and plain text, and nothing follows."""
    host, _, port = server.http_address.rpartition(":")
    with socket.create_connection((host, int(port)), WAIT_SECONDS) as connection:
        connection.sendall(request_text.encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: text/plain" in head
    assert body


def test_wrong_paths_and_verbs_are_named(http: httpx.Client) -> None:
    """An unknown path is 404, and a wrong verb 405 with the verbs that exist."""
    assert 404 == http.get("/v2/catalogs").status_code
    assert 5 == http.get("/v1").json()["code"]
    response = http.patch("/v1/catalogs")
    assert (405, "GET, POST") == (response.status_code, response.headers["allow"])
    assert 405 == http.post("/").status_code


@pytest.mark.parametrize(
    ("verb", "path"), [("GET", "/v2"), ("PATCH", "/v1/catalogs"), ("PUT", "/")]
)
def test_requests_without_a_method_have_an_id(http: httpx.Client, verb: str, path: str) -> None:
    """A response to a wrong path or verb returns the id of the request as well, or a new one."""
    own = http.request(verb, path, headers={"x-request-id": "nowhere"})
    assert "nowhere" == own.headers["x-request-id"]
    assert 16 == len(http.request(verb, path).headers["x-request-id"])


@pytest.mark.parametrize("path", ["/", "/openapi.json"])
def test_documents_answer_head(http: httpx.Client, path: str) -> None:
    """HEAD on a document has the headers of GET and no body, and the connection stays open."""
    head, full = http.head(path), http.get(path)
    assert (200, b"") == (head.status_code, head.content)
    for name in ("content-type", "content-length"):
        assert full.headers[name] == head.headers[name]
    assert "GET, HEAD" == http.post(path).headers["allow"]


def test_the_root_says_what_listens(http: httpx.Client) -> None:
    """The root names the service and its version."""
    about = http.get("/").json()
    assert "akin" == about["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", about["version"])


def test_request_ids_and_timing_are_headers(server: HttpServer, http: httpx.Client) -> None:
    """The request id of a caller is in the response and in the log, beside the timing."""
    response = http.get(f"{ITEMS}", headers={"x-request-id": "over-http-1"})
    assert "over-http-1" == response.headers["x-request-id"]
    assert "total;dur=" in response.headers["server-timing"]
    logged = ("ListItems", "over-http-1")
    until(lambda: logged in [(c["method"], c["request_id"]) for c in server.events("call")])
    assert 16 == len(http.get(f"{ITEMS}/nobody").headers["x-request-id"])


def test_near_duplicates_are_lines(http: httpx.Client) -> None:
    """A method that streams responses sends each as a line of JSON."""
    response = http.post(f"{ITEMS}:findDuplicates", json={})
    assert "application/x-ndjson" == response.headers["content-type"]
    assert all(line.startswith("{") for line in response.text.splitlines())
    failed = http.post("/v1/catalogs/no-such/items:findDuplicates", json={})
    assert (404, 5) == (failed.status_code, failed.json()["code"])


def test_large_responses_are_compressed(http: httpx.Client) -> None:
    """A client that takes gzip gets large responses compressed, and others get them as they are."""
    http.put(f"{ITEMS}/long", json={"text": "many words " * 1_000})
    compressed = http.get(f"{ITEMS}/long", headers={"accept-encoding": "gzip"})
    plain = http.get(f"{ITEMS}/long", headers={"accept-encoding": "gzip;q=0"})
    assert "gzip" == compressed.headers["content-encoding"]
    assert "content-encoding" not in plain.headers
    assert plain.json() == compressed.json()


def test_the_listener_is_off_by_default(tmp_path: Path) -> None:
    """Without an address, the server has no listener for HTTP."""
    with RunningServer(tmp_path, EMBEDDER="local") as running:
        assert [] == running.events("http_listening")
