"""Explains in one sentence why no connection to the provider could be made."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from service.embedding.errors import ProviderError, ProviderRefused, ProviderUnavailable

# OpenSSL's reasons for bytes that are not of TLS where a handshake is expected. Others, such as an
# unexpected end, are of a server or proxy that is down, or of a connection that broke.
_NO_TLS_REASONS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})


def to_provider_error(error: httpx.HTTPError | httpx.InvalidURL | ssl.SSLError) -> ProviderError:
    """Return the provider error of a request without a response.

    The messages do not contain the address, which may contain a password.
    """
    if isinstance(error, httpx.LocalProtocolError):
        # Without the message, which quotes the invalid header and with it perhaps the key.
        return ProviderRefused(
            "a request header, perhaps the API key, has characters that HTTP does not allow"
        )
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return ProviderRefused("AKIN_EMBEDDING_BASE_URL is not a valid URL")
    if isinstance(error, httpx.TimeoutException):
        return ProviderUnavailable("the provider did not respond in time", timed_out=True)
    if isinstance(error, httpx.ProxyError):
        return ProviderUnavailable(
            "the HTTP proxy refuses the connection to the provider: check the proxy variables"
        )
    # After the handshake, TLS errors are not wrapped: the settings are right, the connection broke.
    causes = () if isinstance(error, ssl.SSLError) else _generate_causes(error)
    for cause in causes:
        explained = _explain(cause)
        if explained is not None:
            return explained
    return ProviderUnavailable(f"cannot connect to the provider: {type(error).__name__}")


def _explain(cause: BaseException) -> ProviderError | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ProviderRefused(
            f"the provider's TLS certificate cannot be verified: {cause.verify_message}"
        )
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS_REASONS:
        return ProviderRefused(
            "the provider does not speak TLS at this address: check the scheme and the port of "
            "AKIN_EMBEDDING_BASE_URL"
        )
    if isinstance(cause, socket.gaierror):
        return ProviderUnavailable(
            "the host name of AKIN_EMBEDDING_BASE_URL cannot be resolved (DNS)"
        )
    if isinstance(cause, ConnectionRefusedError):
        return ProviderUnavailable(
            "the connection to the provider is refused: nothing listens at the address of "
            "AKIN_EMBEDDING_BASE_URL"
        )
    return None


def _generate_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it, outermost first."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                yield from _generate_causes(member)
        error = error.__cause__ or error.__context__
