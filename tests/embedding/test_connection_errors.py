import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from support.provider import DIMENSIONS, ScriptedProvider
from support.sockets import TlsBreaker

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits
from service.embedding.errors import ProviderError, ProviderRefused, ProviderUnavailable
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder

PASSWORD = "not-to-be-shown"  # noqa: S105  (for a test)


async def catch_error(base_url: str) -> ProviderError:
    embedder = OpenAICompatibleEmbedder(
        Endpoint("openai", base_url, "m"),
        Space("openai", "m", DIMENSIONS),
        BatchLimits(64, 100_000, 512),
        5.0,
    )
    try:
        with pytest.raises(ProviderError) as caught:
            await embedder.embed(["tea"])
    finally:
        await embedder.close()
    return caught.value


@asynccontextmanager
async def serving_tls(name: str) -> AsyncIterator[int]:
    """Yield the port of a TLS server with a certificate of an authority that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(name).configure_cert(context)
    with ScriptedProvider(tls=context) as provider:
        yield provider.port


async def test_a_certificate_problem_is_named() -> None:
    """A certificate that cannot be verified is a wrong setting, and the message says why."""
    async with serving_tls("localhost") as port:
        error = await catch_error(f"https://localhost:{port}")
    assert ProviderRefused is type(error)
    assert "certificate cannot be verified" in error.message


async def test_a_port_without_tls_is_named() -> None:
    """TLS to a port without TLS is a wrong setting."""
    with ScriptedProvider() as provider:
        error = await catch_error(f"https://127.0.0.1:{provider.port}")
    assert ProviderRefused is type(error)
    assert "does not speak TLS" in error.message


async def test_a_connection_that_breaks_during_the_handshake_is_an_outage() -> None:
    """A server or proxy that closes the connection before TLS is set up may be restarting."""
    with TlsBreaker() as server:
        error = await catch_error(f"https://{server.address}")
    assert ProviderUnavailable is type(error)


async def test_bytes_that_are_not_of_tls_are_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TLS connection that is damaged later is a temporary failure, and not a bug."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with authority.cert_pem.tempfile() as certificate, TlsBreaker(context) as server:
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        error = await catch_error(f"https://{server.address}")
    assert ProviderUnavailable is type(error)


async def test_an_unknown_host_is_named() -> None:
    """A host name that DNS does not know is a temporary failure with its own message."""
    error = await catch_error("http://no-such-host.invalid/v1")
    assert ProviderUnavailable is type(error)
    assert "cannot be resolved (DNS)" in error.message


async def test_a_refused_connection_is_named() -> None:
    """A port on which nothing listens is a temporary failure with its own message."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = await catch_error(f"http://user:{PASSWORD}@127.0.0.1:{port}/v1")
    assert ProviderUnavailable is type(error)
    assert "nothing listens" in error.message
    assert PASSWORD not in f"{error!r} {error.__cause__!r}"


@pytest.mark.parametrize("base_url", ["http://[::1/v1", "ftp://127.0.0.1/v1", "http://"])
async def test_an_invalid_url_is_named(base_url: str) -> None:
    """A base URL that is no HTTP URL is a wrong setting."""
    error = await catch_error(base_url)
    assert ProviderRefused is type(error)
    assert "not a valid URL" in error.message
