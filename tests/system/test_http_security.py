from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from support import http_calls
from support.http_server import HttpServer
from support.security import METHODS, Certificates, entry, write_keys
from support.server import WAIT_SECONDS
from support.waiting import until

from service.api.auth import SCOPES
from service.http.body_lines import GROUP_LINES

EVERYTHING = ("read", "write", "admin")
LET_IN = {200, 400, 404, 409}
"""What an empty request leads to where it is let in."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(
        keys,
        *(entry(f"no-{scope}", *(s for s in EVERYTHING if s != scope)) for scope in EVERYTHING),
        entry("all", *EVERYTHING),
        entry("elsewhere", *EVERYTHING, catalogs=["other"]),
        entry("slow", *EVERYTHING, calls_per_second=0.001),
        entry("importer", "write", calls_per_second=5),
        entry("patient", "write", calls_per_second=0.01),
    )
    folder = tmp_path_factory.mktemp("guarded")
    with HttpServer(folder, API_KEYS=str(keys), EMBEDDER="local") as server:
        yield server


@pytest.fixture
def http(guarded: HttpServer) -> Iterator[httpx.Client]:
    with guarded.http() as connected:
        yield connected


def call(
    http: httpx.Client, method: MethodDescriptor, key: str | None, catalog: str = "other"
) -> httpx.Response:
    """The response to an empty request."""
    rule = http_calls.RULES[method.full_name]
    verb, path = http_calls.make_url(rule, GetMessageClass(method.input_type)(), {})
    path = path.replace("/catalogs/default", f"/catalogs/{catalog}")
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    if method.client_streaming:
        headers["content-type"] = "application/x-ndjson"
        return http.request(verb, path, content=b'{"userId":"a"}\n', headers=headers)
    body = {"catalog": catalog} if method.name == "CreateCatalog" else {}
    has_body = "body" in rule
    return http.request(verb, path, json=body if has_body else None, headers=headers)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_call_needs_a_key_that_is_good_for_it(
    http: httpx.Client, method: MethodDescriptor
) -> None:
    """No method answers without a key, with an unknown one, or one for other calls or catalogs."""
    scope = SCOPES[method.full_name]
    without = call(http, method, None)
    assert (401, "Bearer") == (without.status_code, without.headers["www-authenticate"])
    assert 401 == call(http, method, "guessed").status_code
    assert 403 == call(http, method, f"no-{scope}-key").status_code
    if not method.client_streaming:
        assert 403 == call(http, method, "elsewhere-key", "default").status_code
    if method.name != "ListCatalogs":
        assert call(http, method, "elsewhere-key").status_code in LET_IN
    assert call(http, method, "all-key").status_code in LET_IN


def test_keys_and_texts_stay_out_of_the_log(guarded: HttpServer, http: httpx.Client) -> None:
    """The log names a key and never has one, nor a path, a query or a body."""
    headers = {"authorization": "Bearer all-key"}
    path = "/v1/catalogs/default/items/my-secret-id"
    http.put(path, json={"text": "my secret text"}, headers=headers)
    http.get(f"{path}?secretName=1", headers=headers)
    http.post(path, content=b"secret {", headers=headers)
    http.get("/secret-path", headers={"authorization": "Bearer guessed-secret"})
    until(lambda: "all" in {line["key"] for line in guarded.events("call")})
    log = "\n".join(guarded.log)
    assert "secret" not in log
    assert "all-key" not in log


def test_a_rate_limit_says_when_to_come_back(http: httpx.Client) -> None:
    """Beyond its rate a key is refused with 429 and the time until the next call."""
    headers = {"authorization": "Bearer slow-key"}
    http.get("/v1/catalogs/default", headers=headers)
    refused = http.get("/v1/catalogs/default", headers=headers)
    assert (429, 8) == (refused.status_code, refused.json()["code"])
    assert 900 < int(refused.headers["retry-after"]) <= 1000


def import_items(http: httpx.Client, key: str, count: int) -> dict[str, Any]:
    """The summary of an import."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/x-ndjson"}
    body = b"".join(b'{"itemId":"%d","text":"A sloop"}\n' % number for number in range(count))
    path = "/v1/catalogs/default/items:import?validateOnly=true"
    response = http.post(path, content=body, headers=headers)
    assert 200 == response.status_code
    summary: dict[str, Any] = json.loads(response.text.splitlines()[-1])
    return summary


def test_an_import_waits_for_the_rate_of_its_key(http: httpx.Client) -> None:
    """The server makes the messages of an import, which take as long as the rate of the key asks.

    If a message would have to wait for more than a minute, the import ends with the time to wait.
    """
    whole = import_items(http, "importer-key", 8 * GROUP_LINES)
    assert (8 * GROUP_LINES, None) == (whole["valid"], whole.get("error"))
    cut = import_items(http, "patient-key", 2 * GROUP_LINES)
    assert (GROUP_LINES, 8) == (cut["valid"], cut["error"]["code"])
    reasons = [detail.get("reason") for detail in cut["error"]["details"]]
    assert "RATE_LIMITED" in reasons


def test_a_body_that_is_not_wanted_ends_the_connection(guarded: HttpServer) -> None:
    """A client that waits before it sends its body gets the refusal, and the connection ends."""
    address = ("127.0.0.1", int(guarded.url.rpartition(":")[2]))
    with socket.create_connection(address, WAIT_SECONDS) as connection:
        connection.sendall(
            b"POST /v1/catalogs/default/items:recommend HTTP/1.1\r\nhost: a\r\n"
            b"content-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
        )
        with connection.makefile("rb") as response:
            head, _, _ = response.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in head.lower().split(b"\r\n")


@pytest.mark.parametrize("key", ["guessed", "all-key"])
def test_malformed_data_leaves_the_log_alone(guarded: HttpServer, key: str) -> None:
    """A body that is no HTTP ends its connection, before and after the response to its request."""
    lines = len(guarded.log)
    address = ("127.0.0.1", int(guarded.url.rpartition(":")[2]))
    with socket.create_connection(address, WAIT_SECONDS) as connection:
        connection.sendall(
            b"POST /v1/catalogs/default/items:recommend HTTP/1.1\r\nhost: a\r\n"
            b"content-type: application/json\r\ntransfer-encoding: chunked\r\n"
            b"authorization: Bearer %b\r\n\r\n" % key.encode()
        )
        status = connection.recv(12) if key == "guessed" else b""
        connection.sendall(b"no size\r\n")
        with suppress(ConnectionError), connection.makefile("rb") as response:
            status += response.read(12)
    assert (b"HTTP/1.1 401" if key == "guessed" else b"HTTP/1.1 400") == status[:12]
    with guarded.http() as http:
        http.get("/v1/catalogs", headers={"authorization": "Bearer all-key"})
    until(lambda: "ListCatalogs" in str(guarded.log[lines:]))
    assert all(line.startswith("{") for line in guarded.log[lines:])


def test_the_root_and_the_document_need_no_key(http: httpx.Client) -> None:
    """A client can read what listens, and how to call it, before it has a key."""
    assert "/openapi.json" == http.get("/").json()["openapi"]
    assert "3.1.0" == http.get("/openapi.json").json()["openapi"]


def test_pages_of_other_sites_cannot_call(guarded: HttpServer, tmp_path: Path) -> None:
    """Without keys, a server on this machine has only its names; no other site may call it."""
    path, foreign = "/v1/catalogs/default", {"host": "akin.example"}
    with HttpServer(tmp_path, EMBEDDER="local") as server, server.http() as http:
        assert 200 == http.get(path).status_code
        assert 403 == http.get(path, headers=foreign).status_code
        elsewhere = {"origin": "http://akin.example"}
        assert 403 == http.delete(path, headers=elsewhere).status_code
    with guarded.http(headers={"authorization": "Bearer all-key"}) as http:
        assert 200 == http.get(path, headers=foreign).status_code
        assert 403 == http.get(path, headers={"sec-fetch-site": "cross-site"}).status_code


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def reach(
    server: HttpServer, authority: Path | None = None, client: tuple[Path, Path] | None = None
) -> int:
    """The status of a request over a connection of its own, 0 if there is no connection."""
    context = ssl.create_default_context(cafile=authority)
    if client is not None:
        context.load_cert_chain(*client)
    with server.http(verify=context) as http:
        try:
            return http.get("/").status_code
        except httpx.TransportError:
            return 0


def test_an_expired_certificate_is_replaced_without_a_restart(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Clients refuse an expired certificate; once its files are replaced, new ones are served."""
    chain, key = certificates.issue("server", expired=True)
    settings = {"TLS_CERTIFICATE": str(chain), "TLS_KEY": str(key)}
    with HttpServer(tmp_path, **settings) as server:
        assert 0 == reach(server, certificates.file)
        certificates.issue("server")
        assert 200 == reach(server, certificates.file)
        assert 0 == reach(server)
        chain.write_text("no certificate")
        assert 200 == reach(server, certificates.file)
        until(lambda: len(server.events("certificate_not_read")) == 1)
        certificates.issue("server")
        assert 200 == reach(server, certificates.file)


def test_clients_must_show_a_certificate(tmp_path: Path, certificates: Certificates) -> None:
    """With a client authority only clients with a certificate of it are let in, also a new one."""
    chain, key = certificates.issue("server")
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificates.file.read_bytes())
    other = Certificates(tmp_path / "other")
    settings = {
        "TLS_CERTIFICATE": str(chain),
        "TLS_KEY": str(key),
        "TLS_CLIENT_AUTHORITY": str(authority),
    }
    with HttpServer(tmp_path, **settings) as server:
        assert 200 == reach(server, certificates.file, certificates.issue("client"))
        assert 0 == reach(server, certificates.file, other.issue("client"))
        assert 0 == reach(server, certificates.file)
        authority.write_bytes(other.file.read_bytes())
        assert 200 == reach(server, certificates.file, other.issue("client"))
        assert 0 == reach(server, certificates.file, certificates.issue("client"))
