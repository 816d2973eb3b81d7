"""Finds out why no connection to a server comes about.

gRPC has one status for all causes, and its message is about one of the addresses of the host only.
This module therefore connects once more by itself.
"""

from __future__ import annotations

import socket
import ssl
from enum import Enum, auto

import akin

# Bounds the connection, and each step of the TLS handshake.
_TIMEOUT_SECONDS = 3.0

# The port that gRPC uses if an address has none.
_DEFAULT_PORT = "443"

# The protocol of gRPC, which TLS negotiates.
_PROTOCOL = "h2"

# OpenSSL's numbers of verification errors.
_EXPIRED, _OTHER_HOST = 10, 62


class ConnectionProblem(Enum):
    """A cause of a failed connection."""

    UNKNOWN_HOST = auto()
    NO_SERVER = auto()
    SERVER_HAS_TLS = auto()
    SERVER_HAS_NO_TLS = auto()
    UNTRUSTED = auto()
    EXPIRED = auto()
    OTHER_HOST = auto()
    NO_CLIENT_CERTIFICATE = auto()
    OTHER_PROTOCOL = auto()


def find_connection_problem(address: str, tls: akin.Tls | None) -> ConnectionProblem | None:
    """Return why the server cannot be reached; None if the cause is another one.

    Args:
        address: `host:port` of the server.
        tls: how the command connects; None means in plain text. It does not matter here whether the
            server accepts a client certificate.
    """
    host, _, port = address.rpartition(":")
    if not host:
        host, port = address, _DEFAULT_PORT
    try:
        with socket.create_connection((host.strip("[]"), port), _TIMEOUT_SECONDS) as connection:
            return _find_tls_problem(connection, host.strip("[]"), tls)
    except (socket.gaierror, UnicodeError):
        return ConnectionProblem.UNKNOWN_HOST
    except OSError:
        return ConnectionProblem.NO_SERVER


def _find_tls_problem(
    connection: socket.socket, host: str, tls: akin.Tls | None
) -> ConnectionProblem | None:
    try:
        with _make_context(tls).wrap_socket(connection, server_hostname=host) as channel:
            return _find_channel_problem(channel) if tls else ConnectionProblem.SERVER_HAS_TLS
    except TimeoutError:
        return None
    except OSError as exc:
        return _explain_failed_handshake(exc) if tls else None


def _find_channel_problem(channel: ssl.SSLSocket) -> ConnectionProblem | None:
    if channel.selected_alpn_protocol() != _PROTOCOL:
        return ConnectionProblem.OTHER_PROTOCOL
    # A server that gets no client certificate closes the connection before it sends data.
    return None if channel.recv(1) else ConnectionProblem.NO_CLIENT_CERTIFICATE


def _explain_failed_handshake(error: OSError) -> ConnectionProblem:
    if isinstance(error, ssl.SSLCertVerificationError):
        problems = {_EXPIRED: ConnectionProblem.EXPIRED, _OTHER_HOST: ConnectionProblem.OTHER_HOST}
        return problems.get(error.verify_code, ConnectionProblem.UNTRUSTED)
    # Such as TLSV13_ALERT_CERTIFICATE_REQUIRED, which is an alert of the server.
    if isinstance(error, ssl.SSLError) and "CERTIFICATE" in (error.reason or ""):
        return ConnectionProblem.NO_CLIENT_CERTIFICATE
    return ConnectionProblem.SERVER_HAS_NO_TLS


def _make_context(tls: akin.Tls | None) -> ssl.SSLContext:
    """Return a context that verifies the server as the command does, or without TLS not at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols([_PROTOCOL])
    if tls is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.authority is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=tls.authority.decode("ascii", "replace"))
    return context
