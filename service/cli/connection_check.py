"""Finds out why no connection to a server comes about.

gRPC has one status for all causes, and its message is about one of the addresses of the host only.
This module therefore connects once more by itself.
"""

from __future__ import annotations

import re
import socket
import ssl
from enum import Enum, auto
from tempfile import NamedTemporaryFile
from types import MappingProxyType

import akin

from service.domain.addresses import is_loopback
from service.environment import MAX_PORT, read_variable

# Bounds the connection, and each step of the TLS handshake.
_TIMEOUT_SECONDS = 3.0

# The port that gRPC uses if an address has none.
_DEFAULT_PORT = "443"

# The protocol of gRPC, which TLS negotiates.
_PROTOCOL = "h2"

# Targets of gRPC that are no `host:port`, such as `unix:/run/akin.sock` and `dns:///host:port`.
_TARGET_SCHEME = re.compile("(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):")

# The variables that gRPC takes a proxy from, the most important one first.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


class ConnectionProblem(Enum):
    """A cause of a failed connection."""

    UNKNOWN_HOST = auto()
    INVALID_PORT = auto()
    NO_SERVER = auto()
    SERVER_HAS_TLS = auto()
    SERVER_HAS_NO_TLS = auto()
    UNTRUSTED = auto()
    EXPIRED = auto()
    OTHER_HOST = auto()
    NO_CLIENT_CERTIFICATE = auto()
    OTHER_PROTOCOL = auto()


# OpenSSL's numbers of verification errors. It has two for another host: for names and addresses.
_VERIFICATION_ERRORS = MappingProxyType(
    {
        10: ConnectionProblem.EXPIRED,
        62: ConnectionProblem.OTHER_HOST,
        64: ConnectionProblem.OTHER_HOST,
    }
)


def find_connection_problem(address: str, tls: akin.Tls | None) -> ConnectionProblem | None:
    """Return why the server cannot be reached; None if the cause is another one.

    It does not look for the cause if the address has another form than `host:port`, or if the
    command connects through a proxy.

    Args:
        address: the address of the server.
        tls: how the command connects; None means in plain text.
    """
    if _TARGET_SCHEME.match(address) or find_proxy_variable(address):
        return None
    host, port = _split(address)
    if not host:
        return ConnectionProblem.UNKNOWN_HOST
    if port.isdecimal() and not 1 <= int(port) <= MAX_PORT:
        return ConnectionProblem.INVALID_PORT
    try:
        with socket.create_connection((host, port), _TIMEOUT_SECONDS) as connection:
            return _find_tls_problem(connection, host, tls)
    except (socket.gaierror, UnicodeError) as exc:
        is_port = isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_SERVICE
        return ConnectionProblem.INVALID_PORT if is_port else ConnectionProblem.UNKNOWN_HOST
    except OSError:
        return ConnectionProblem.NO_SERVER


def find_proxy_variable(address: str) -> str:
    """Return the variable with the proxy of `host:port`, empty if there is none.

    gRPC does not use the proxy if a variable `no_proxy` lists the host.
    """
    if _TARGET_SCHEME.match(address) or is_loopback(_split(address)[0]):
        return ""
    return next((name for name in _PROXY_VARIABLES if read_variable(name)), "")


def _split(address: str) -> tuple[str, str]:
    """Return host and port of `host`, `host:port`, `[IPv6]:port`, or of an IPv6 address."""
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        return host, port.removeprefix(":") or _DEFAULT_PORT
    if address.count(":") > 1:
        return address, _DEFAULT_PORT
    host, _, port = address.partition(":")
    return host, port or _DEFAULT_PORT


def _find_tls_problem(
    connection: socket.socket, host: str, tls: akin.Tls | None
) -> ConnectionProblem | None:
    try:
        channel = _make_context(tls).wrap_socket(connection, server_hostname=host)
    except TimeoutError:
        return None
    except OSError as exc:
        return _explain_failed_handshake(exc) if tls else None
    with channel:
        return _find_channel_problem(channel) if tls else ConnectionProblem.SERVER_HAS_TLS


def _find_channel_problem(channel: ssl.SSLSocket) -> ConnectionProblem | None:
    if channel.selected_alpn_protocol() != _PROTOCOL:
        return ConnectionProblem.OTHER_PROTOCOL
    # A server that accepts no client certificate ends the connection before it sends data.
    try:
        is_open = bool(channel.recv(1))
    except TimeoutError:
        return None
    except OSError:
        is_open = False
    return None if is_open else ConnectionProblem.NO_CLIENT_CERTIFICATE


def _explain_failed_handshake(error: OSError) -> ConnectionProblem | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFICATION_ERRORS.get(error.verify_code, ConnectionProblem.UNTRUSTED)
    reason = (isinstance(error, ssl.SSLError) and error.reason) or ""
    # Alerts of the server, such as TLSV13_ALERT_CERTIFICATE_REQUIRED and TLSV1_ALERT_UNKNOWN_CA.
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        return ConnectionProblem.NO_CLIENT_CERTIFICATE
    return None if "ALERT" in reason else ConnectionProblem.SERVER_HAS_NO_TLS


def _make_context(tls: akin.Tls | None) -> ssl.SSLContext:
    """Return a context that connects as the command does; without TLS, it verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols([_PROTOCOL])
    if tls is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.authority is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=tls.authority.decode("ascii", "replace"))
    if tls is not None and tls.certificate:
        _load_client_certificate(context, tls)
    return context


def _load_client_certificate(context: ssl.SSLContext, tls: akin.Tls) -> None:
    """Have the context send the client certificate, which ssl reads from a file only."""
    with NamedTemporaryFile() as file:  # only the user can read it
        file.write(b"\n".join((tls.certificate or b"", tls.key or b"")))
        file.flush()
        context.load_cert_chain(file.name, password="")  # instead of asking for one
