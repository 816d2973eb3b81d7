"""What a command says if its call fails: the address, the likely cause, and what to do."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import akin
import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from support.command import run
from support.recording import RecordingServer
from support.scripted import Failure
from support.security import Certificates
from support.server import WAIT_SECONDS, free_address
from support.stand_in_servers import StandInServer
from typer.testing import CliRunner

from service.cli.call_errors import describe_call_error
from service.cli.connection_check import ConnectionProblem, find_connection_problem
from service.cli.main import app


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def serve_tls(chain: Path, key: Path, client_authority: Path | None = None) -> Iterator[str]:
    """Yield the address of a server without methods that uses TLS."""
    authority = None if client_authority is None else client_authority.read_bytes()
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), chain.read_bytes())],
        authority,
        require_client_auth=authority is not None,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait(WAIT_SECONDS)


def call(*words: str | Path, key: str = "", variables: Mapping[str, str] | None = None) -> str:
    """Return the one line of a command that fails."""
    result = CliRunner().invoke(
        app,
        ["items", "list", *map(str, words)],
        env={"AKIN_API_KEY": key, **(variables or {})},
    )
    assert (1, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    return line


def test_no_server() -> None:
    """The address is named, and how to start a server or to choose another one."""
    address = free_address()
    assert (
        f"akin: no Akin server answers at {address}: start one with `akin serve`, or name its "
        "address with --address or AKIN_ADDRESS"
    ) == call("--address", address)


@pytest.mark.parametrize("address", ["nowhere.invalid:50051", "https://127.0.0.1:50051"])
def test_an_unknown_host(address: str) -> None:
    """A host without an address, and a URL, are said to be unknown."""
    assert f"the host of the address {address} is unknown" in call("--address", address)


def test_an_invalid_port() -> None:
    """A port that no server can have is named, and nothing else is said to be wrong."""
    line = call("--address", "localhost:99999")
    assert "the port of the address localhost:99999 must be a number from 1 to 65535" in line
    for port in ("0", "65536", "shop"):
        problem = find_connection_problem(f"localhost:{port}", None)
        assert ConnectionProblem.INVALID_PORT is problem


def test_a_target_of_another_form() -> None:
    """The error of gRPC is printed for addresses in its other forms; no host is called unknown."""
    line = call("--address", "unix:/nonexistent/akin.sock")
    assert line.startswith("akin: UNAVAILABLE: ")
    assert "No such file" in line
    assert None is find_connection_problem("dns:///localhost:1", None)


def test_a_proxy() -> None:
    """The variable with the proxy is named, but not its value; this machine needs no proxy."""
    proxy = f"http://user:secret@{free_address()}"
    line = call("--address", "shop.invalid:50051", variables={"https_proxy": proxy})
    assert line.startswith("akin: UNAVAILABLE: ")
    assert line.endswith(
        "; the proxy of the variable https_proxy is used, unless no_proxy lists the host"
    )
    assert "secret" not in line
    line = call("--address", free_address(), variables={"https_proxy": proxy})
    assert "no Akin server answers" in line


def test_tls_of_a_server_without_it() -> None:
    """A server in plain text that is called with TLS."""
    with StandInServer() as server:
        line = call("--address", server.address, "--tls")
    assert f"akin: the server at {server.address} does not use TLS: leave out --tls" in line


def test_a_server_with_tls_that_is_called_without_it(certificates: Certificates) -> None:
    """A server with TLS that is called in plain text."""
    with serve_tls(*certificates.issue("server")) as address:
        line = call("--address", address)
    assert f"the server at {address} uses TLS: add --tls, or --tls-ca FILE" in line


def test_an_authority_that_is_not_trusted(certificates: Certificates) -> None:
    """A certificate of an unknown authority needs --tls-ca, and then the call is made."""
    with serve_tls(*certificates.issue("server")) as address:
        line = call("--address", address, "--tls")
        trusted = call("--address", address, "--tls-ca", certificates.file)
    assert "is not trusted: name the file of its certificate authority with --tls-ca" in line
    assert f"the server at {address} does not have this call" in trusted


def test_an_expired_certificate(certificates: Certificates) -> None:
    """A certificate that has expired is not called unknown."""
    with serve_tls(*certificates.issue("old", expired=True)) as address:
        line = call("--address", address, "--tls-ca", certificates.file)
    assert f"the certificate of the server at {address} has expired" in line


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_without_the_host(certificates: Certificates, host: str) -> None:
    """A name and an IP address that are not in the certificate have the same message."""
    chain_and_key = certificates.issue("other", "shop.internal")
    with serve_tls(*chain_and_key) as address:
        other = f"{host}:{address.rpartition(':')[2]}"
        line = call("--address", other, "--tls-ca", certificates.file)
    assert f"the certificate of the server at {other} is for another host" in line


def test_an_accepted_client_certificate(certificates: Certificates) -> None:
    """The check sends the client certificate, and does not ask for one that the server accepts."""
    tls = certificates.tls(certificates.issue("client"))
    with serve_tls(*certificates.issue("server"), certificates.file) as address:
        assert None is find_connection_problem(address, tls)
        no_certificate = find_connection_problem(address, certificates.tls())
    assert ConnectionProblem.NO_CLIENT_CERTIFICATE is no_certificate


def test_a_client_certificate_of_another_authority(
    certificates: Certificates, tmp_path: Path
) -> None:
    """A client certificate that the server does not accept is as good as none."""
    chain, key = Certificates(tmp_path).issue("stranger")
    with serve_tls(*certificates.issue("server"), certificates.file) as address:
        options = ("--tls-ca", certificates.file, "--tls-cert", chain, "--tls-key", key)
        line = call("--address", address, *options)
    assert f"the server at {address} requires a client certificate of an authority" in line


def test_a_connection_that_is_reset_after_the_handshake(certificates: Certificates) -> None:
    """A server that resets the connection has TLS; it may accept no client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.issue("server"))
    context.set_alpn_protocols(["h2"])

    def reset_next(listener: socket.socket) -> None:
        with context.wrap_socket(listener.accept()[0], server_side=True) as channel:
            no_linger = struct.pack("ii", 1, 0)
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as executor:
        reset = executor.submit(reset_next, listener)
        address = f"localhost:{listener.getsockname()[1]}"
        problem = find_connection_problem(address, certificates.tls())
        reset.result(WAIT_SECONDS)
    assert ConnectionProblem.NO_CLIENT_CERTIFICATE is problem


def test_a_missing_client_certificate(certificates: Certificates) -> None:
    """A server that requires client certificates (mTLS)."""
    with serve_tls(*certificates.issue("server"), certificates.file) as address:
        line = call("--address", address, "--tls-ca", certificates.file)
    assert f"the server at {address} requires a client certificate" in line
    assert "--tls-cert and --tls-key" in line


class _WebPage(BaseHTTPRequestHandler):
    """Answers each request with an error, and logs nothing."""

    def log_message(self, *_values: object) -> None:
        """Print nothing."""


def test_a_server_of_another_protocol() -> None:
    """A web server is no Akin server."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), _WebPage)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        line = call("--address", f"127.0.0.1:{web.server_port}")
    finally:
        web.shutdown()
        web.server_close()
    assert "does not speak gRPC, so it is no Akin server" in line


def test_a_slow_call() -> None:
    """A server that answers a health check is asked for less; its address is not in doubt."""
    failure = Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    with RecordingServer(failure=failure) as server:
        line = call("--address", server.address)
    assert line.startswith(
        f"akin: DEADLINE_EXCEEDED: the server at {server.address} responds, but did not finish the "
        "call in time: ask for less"
    )
    assert "--address" not in line


def test_a_server_that_never_answers() -> None:
    """A port that accepts connections and is silent may be that of another server."""
    error = akin.AkinError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        line = describe_call_error(error, address, None, sends_key=False)
    assert f"DEADLINE_EXCEEDED: the server at {address} did not respond in time" in line
    assert "if it is no Akin server, name its address with --address" in line


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("", "requires an API key: name the file of one with --key-file, or set AKIN_API_KEY"),
        ("some-key", "does not know the API key: name another one with --key-file or AKIN_API_KEY"),
    ],
)
def test_a_missing_or_unknown_key(key: str, part: str) -> None:
    """The message says where a key comes from, and how to create one."""
    info = ErrorInfo(reason="UNAUTHENTICATED", domain="akin")
    failure = Failure(grpc.StatusCode.UNAUTHENTICATED, "send a key", details=(info,))
    with RecordingServer(failure=failure) as server:
        line = call("--address", server.address, key=key)
    assert line.startswith(f"akin: UNAUTHENTICATED: the server at {server.address} {part}")
    assert "`akin key` creates keys" in line


def test_a_key_that_may_not_make_the_call() -> None:
    """The server's message is kept, and a hint follows."""
    info = ErrorInfo(reason="PERMISSION_DENIED", domain="akin")
    message = "the key ann lacks the scope read"
    failure = Failure(grpc.StatusCode.PERMISSION_DENIED, message, details=(info,))
    with RecordingServer(failure=failure) as server:
        line = call("--address", server.address, key="ann-key")
    assert f"akin: PERMISSION_DENIED: {message}: name another one with --key-file" in line


@pytest.mark.parametrize(("variables", "lines"), [({}, 1), ({"GRPC_VERBOSITY": "INFO"}, 2)])
def test_only_the_message_is_printed(
    tmp_path: Path, certificates: Certificates, variables: dict[str, str], lines: int
) -> None:
    """There are no lines of gRPC beside it, unless its variable asks for it."""
    with serve_tls(*certificates.issue("server")) as address:
        words = ("items", "get", "serve", "--address", address, "--tls")
        done = run(*words, folder=tmp_path, variables=variables, script='"$@"')
    assert 1 == done.status
    assert (lines == 1) == (len(done.error_lines) == 1), done.error_lines
    assert "akin: the certificate of the server" in done.error_lines[-1]
