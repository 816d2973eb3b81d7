from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import akin
import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2
from support import waiting
from support.rejections import RawClient
from support.security import (
    METHODS,
    Certificates,
    code,
    entry,
    reached,
    until,
    write_keys,
)
from support.server import WAIT_SECONDS, RunningServer, free_address, refused

from service.api.auth import SCOPES

EVERYTHING = ("read", "write", "admin")
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LET_IN = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"}
"""What an empty request leads to where it is let in."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    each = [entry(f"no-{scope}", *(s for s in EVERYTHING if s != scope)) for scope in EVERYTHING]
    write_keys(
        path,
        *each,
        entry("all", *EVERYTHING),
        entry("elsewhere", *EVERYTHING, catalogs=["other"]),
        entry("slow", *EVERYTHING, calls_per_second=0.001),
    )
    return path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("guarded"), API_KEYS=str(keys)) as server:
        yield server


def outcomes(ask: Callable[[], str]) -> Iterator[str]:
    """What one and the same question leads to, again and again, until too much time went by."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        yield ask()


def test_every_method_has_a_scope() -> None:
    """The table of scopes names each method there is, and no other."""
    assert sorted(method.full_name for method in METHODS) == sorted(SCOPES)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_call_needs_a_key_that_is_good_for_it(
    guarded: RunningServer, method: MethodDescriptor
) -> None:
    """No method answers without a key, with an unknown one, or one for other calls or catalogs."""
    scope = SCOPES[method.full_name]
    assert "UNAUTHENTICATED" == code(guarded.address, method, None)
    assert "UNAUTHENTICATED" == code(guarded.address, method, "guessed")
    assert "PERMISSION_DENIED" == code(guarded.address, method, f"no-{scope}-key")
    assert "PERMISSION_DENIED" == code(guarded.address, method, "elsewhere-key")
    if "catalog" in method.input_type.fields_by_name:
        assert "PERMISSION_DENIED" == code(guarded.address, method, "elsewhere-key", "default")
        assert code(guarded.address, method, "elsewhere-key", "other") in LET_IN
    assert code(guarded.address, method, "all-key") in LET_IN


def test_what_is_wrong_with_a_key_is_told(guarded: RunningServer) -> None:
    """The errors have stable reasons, say what is missing, and never repeat the key."""
    errors_by_name = {}
    for name in ("", "guessed", "no-read-key", "elsewhere-key"):
        with guarded.client(api_key=name) as client, pytest.raises(akin.AkinError) as caught:
            client.get_item("a")
        errors_by_name[name] = (caught.value.reason, caught.value.message)
    assert {
        "": ("UNAUTHENTICATED", "send a key: authorization: Bearer KEY"),
        "guessed": ("UNAUTHENTICATED", "the key is not known"),
        "no-read-key": ("PERMISSION_DENIED", "the key no-read lacks the scope read"),
        "elsewhere-key": ("PERMISSION_DENIED", "the key elsewhere is not for this catalog"),
    } == errors_by_name
    waiting.until(lambda: "no-read" in {each["key"] for each in guarded.events("call")})
    assert not any("-key" in line or "guessed" in line for line in guarded.log)


def test_a_key_may_be_good_for_so_many_calls(guarded: RunningServer) -> None:
    """Beyond its rate a key is refused for a while, which the error tells."""
    with guarded.client(api_key="slow-key") as client:
        client.get_catalog()
        with pytest.raises(akin.AkinError) as caught:
            client.get_catalog()
    assert ("RESOURCE_EXHAUSTED", "RATE_LIMITED") == (caught.value.code.name, caught.value.reason)
    assert caught.value.retry_after_seconds is not None
    assert 900 < caught.value.retry_after_seconds <= 1000


def test_health_needs_no_key(guarded: RunningServer) -> None:
    """Whoever asks for health gets an answer, as orchestrators have no keys."""
    with RawClient(guarded.address) as client:
        assert health_pb2.HealthCheckResponse.SERVING == next(client.watch_health()).status


def test_a_key_taken_back_ends_its_streams(tmp_path: Path) -> None:
    """Once a key is no longer in the file, a stream that was opened with it ends."""
    keys, go = tmp_path / "keys.json", threading.Event()
    write_keys(keys, entry("one", *EVERYTHING), entry("two", *EVERYTHING))

    def items() -> Iterator[akin.Item]:
        for number in range(1_500):
            if number == 1_000:
                go.wait(WAIT_SECONDS)
            yield akin.item(str(number), f"text {number}")

    with (
        RunningServer(tmp_path, API_KEYS=str(keys)) as server,
        server.client(api_key="one-key") as client,
    ):
        results = client.import_items(items())
        assert 0 == next(results).code
        write_keys(keys, entry("two", *EVERYTHING))
        asked = outcomes(lambda: reached(server.address, api_key="one-key"))
        assert "UNAUTHENTICATED" == until("UNAUTHENTICATED", asked)
        go.set()
        with pytest.raises(akin.AkinError) as caught:
            list(results)
        assert "UNAUTHENTICATED" == caught.value.reason
        assert "OK" == reached(server.address, api_key="two-key")
        keys.write_text("{")
        asked = outcomes(lambda: str(len(server.events("api_keys_not_read"))))
        reached(server.address, api_key="two-key")
        until("1", (outcome for outcome in asked if reached(server.address, api_key="two-key")))
        assert "OK" == reached(server.address, api_key="two-key")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def test_an_expired_certificate_is_replaced_without_a_restart(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Clients refuse an expired certificate; once its files are replaced, new ones are served."""
    chain, key = certificates.issue("server", expired=True)
    settings = {"TLS_CERTIFICATE": str(chain), "TLS_KEY": str(key)}
    with RunningServer(tmp_path, **settings) as server:
        assert "UNAVAILABLE" == reached(server.address, tls=certificates.tls())
        certificates.issue("server")
        assert "OK" == reached(server.address, tls=certificates.tls())
        assert "UNAVAILABLE" == reached(server.address)
        chain.write_text("no certificate")
        assert "OK" == reached(server.address, tls=certificates.tls())
        server.wait_for_exactly("certificate_not_read")
        certificates.issue("server")
        assert "OK" == reached(server.address, tls=certificates.tls())


def test_probes_need_no_tls(tmp_path: Path, certificates: Certificates) -> None:
    """Where the address speaks TLS, health has one of its own, which answers nothing else."""
    chain, key = certificates.issue("server")
    probed = free_address()
    settings = {"TLS_CERTIFICATE": str(chain), "TLS_KEY": str(key), "HEALTH_LISTEN": probed}
    with RunningServer(tmp_path, **settings) as server, RawClient(probed) as client:
        assert health_pb2.HealthCheckResponse.SERVING == next(client.watch_health()).status
        assert "UNIMPLEMENTED" == reached(probed)
        assert "UNAVAILABLE" == reached(server.address)
        assert 0 == server.stop()


def test_clients_must_show_a_certificate(tmp_path: Path, certificates: Certificates) -> None:
    """With a client authority only clients with a certificate of it are let in, keys or not."""
    chain, key = certificates.issue("server")
    keys = tmp_path / "keys.json"
    write_keys(keys, entry("all", *EVERYTHING))
    other = Certificates(tmp_path / "other")
    with RunningServer(
        tmp_path,
        TLS_CERTIFICATE=str(chain),
        TLS_KEY=str(key),
        TLS_CLIENT_AUTHORITY=str(certificates.file),
        API_KEYS=str(keys),
    ) as server:
        right = certificates.tls(certificates.issue("client"))
        assert "OK" == reached(server.address, tls=right, api_key="all-key")
        assert "UNAUTHENTICATED" == reached(server.address, tls=right)
        wrong = certificates.tls(other.issue("client"))
        assert "UNAVAILABLE" == reached(server.address, tls=wrong, api_key="all-key")
        assert "UNAVAILABLE" == reached(server.address, tls=certificates.tls(), api_key="all-key")


def test_what_cannot_protect_the_server_keeps_it_from_starting(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Unusable files of keys or certificates are reported at once, without their content."""
    chain, _ = certificates.issue("one")
    _, key = certificates.issue("two")
    bad_keys = tmp_path / "keys.json"
    bad_keys.write_text('{"keys": [{"name": "a", "sha256": "my-secret", "scopes": ["read"]}]}')
    for settings, expected in (
        ({"API_KEYS": str(tmp_path / "none.json")}, "akin serve: the API keys cannot be read"),
        ({"API_KEYS": str(bad_keys)}, "keys.0.sha256: String should match pattern"),
        ({"TLS_CERTIFICATE": str(chain), "TLS_KEY": str(key)}, "the TLS files cannot be used"),
        ({"TLS_CERTIFICATE": str(chain)}, "AKIN_TLS_KEY: both must be set"),
        ({"TLS_CLIENT_AUTHORITY": str(chain)}, "AKIN_TLS_CLIENT_AUTHORITY: requires"),
    ):
        ended, lines = refused(tmp_path, **settings)
        assert 2 == ended
        assert expected in lines[-1]
        assert "my-secret" not in "".join(lines)


def test_reflection_can_be_turned_off(tmp_path: Path) -> None:
    """Without reflection the server lists no services; health checks still work."""
    with RunningServer(tmp_path, REFLECTION="false") as server, RawClient(server.address) as client:
        assert health_pb2.HealthCheckResponse.SERVING == next(client.watch_health()).status
        with pytest.raises(grpc.RpcError) as caught:
            list(client.channel.stream_stream(REFLECTION, bytes, bytes)(iter([b""]), timeout=9))
        assert grpc.StatusCode.UNIMPLEMENTED is caught.value.code()
