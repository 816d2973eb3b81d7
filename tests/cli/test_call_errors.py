"""What a command says if its call fails: the address, the likely cause, and what to do."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
import trustme
from google.rpc.error_details_pb2 import ErrorInfo
from support.command import run
from support.recording import RecordingServer
from support.scripted import Failure
from support.security import Certificates
from support.server import WAIT_SECONDS, free_address
from support.stand_in_servers import StandInServer
from typer.testing import CliRunner

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


def call(*words: str | Path, key: str = "") -> str:
    """Return the one line of a command that fails."""
    result = CliRunner().invoke(app, ["items", "list", *map(str, words)], env={"AKIN_API_KEY": key})
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


def test_a_certificate_for_another_host(tmp_path: Path) -> None:
    """A certificate without the host name of the address."""
    authority, chain, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    issuer = trustme.CA()
    issued = issuer.issue_cert("shop.internal")
    issuer.cert_pem.write_to_path(str(authority))
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(chain))
    with serve_tls(chain, key) as address:
        line = call("--address", address, "--tls-ca", authority)
    assert f"the certificate of the server at {address} is for another host" in line


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
        words = ("items", "list", "--address", address, "--tls")
        done = run(*words, folder=tmp_path, variables=variables, script='"$@"')
    assert 1 == done.status
    assert (lines == 1) == (len(done.error_lines) == 1), done.error_lines
    assert "akin: the certificate of the server" in done.error_lines[-1]
