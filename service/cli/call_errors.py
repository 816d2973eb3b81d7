"""Says in one line why a call of a command failed, and what to do about it."""

from __future__ import annotations

import akin

from service.cli.connection_check import (
    ConnectionProblem,
    find_connection_problem,
    find_proxy_variable,
)
from service.cli.options import DEFAULT_ADDRESS
from service.environment import ADDRESS_VARIABLE, API_KEY_VARIABLE, MAX_PORT

_NAME_ADDRESS = f"name its address with --address or {ADDRESS_VARIABLE}"
_NAME_KEY = f"name another one with --key-file or {API_KEY_VARIABLE}"

_PROBLEMS = {
    ConnectionProblem.UNKNOWN_HOST: (
        "the host of the address {} is unknown: name the server as host:port, such as "
        f"{DEFAULT_ADDRESS}, with --address or {ADDRESS_VARIABLE}"
    ),
    ConnectionProblem.INVALID_PORT: (
        f"the port of the address {{}} must be a number from 1 to {MAX_PORT}: {_NAME_ADDRESS}"
    ),
    ConnectionProblem.NO_SERVER: (
        f"no Akin server answers at {{}}: start one with `akin serve`, or {_NAME_ADDRESS}"
    ),
    ConnectionProblem.SERVER_HAS_TLS: (
        "the server at {} uses TLS: add --tls, or --tls-ca FILE for a certificate authority of "
        "your own"
    ),
    ConnectionProblem.SERVER_HAS_NO_TLS: (
        "the server at {} does not use TLS: leave out --tls and all --tls-* options"
    ),
    ConnectionProblem.UNTRUSTED: (
        "the certificate of the server at {} is not trusted: name the file of its certificate "
        "authority with --tls-ca"
    ),
    ConnectionProblem.EXPIRED: (
        "the certificate of the server at {} has expired: the server needs a new one"
    ),
    ConnectionProblem.OTHER_HOST: (
        "the certificate of the server at {} is for another host: use a host name that is in the "
        "certificate"
    ),
    ConnectionProblem.NO_CLIENT_CERTIFICATE: (
        "the server at {} requires a client certificate of an authority that it trusts: name one "
        "with --tls-cert and --tls-key"
    ),
    ConnectionProblem.OTHER_PROTOCOL: (
        f"the server at {{}} does not speak gRPC, so it is no Akin server: {_NAME_ADDRESS}"
    ),
}

# Bounds the health check after a call that took too long; a busy server may need seconds.
_HEALTH_CHECK_SECONDS = 5.0

# In the message of gRPC about a server of HTTP/1.
_OTHER_PROTOCOL = "Failed parsing HTTP/2"


def describe_call_error(
    error: akin.AkinError, address: str, tls: akin.Tls | None, *, sends_key: bool
) -> str:
    """Return the error of a call for a person at a command line.

    Without a connection, and after a timeout, it connects once more to find the cause.

    Args:
        error: the error.
        address: of the server, as the command line has it.
        tls: how the command connects; None means in plain text.
        sends_key: the command sends an API key.
    """
    match error.code.name, error.reason:
        case "UNAVAILABLE", "":
            return _describe_connection_error(error, address, tls)
        case "DEADLINE_EXCEEDED", "":
            return f"{error.code.name}: {_describe_timeout(address, tls)}"
        case "UNIMPLEMENTED", "":
            return (
                f"the server at {address} does not have this call, so it is an older Akin server "
                f"or none: {error.message}"
            )
        case "UNAUTHENTICATED", "UNAUTHENTICATED":
            return f"{error.code.name}: {_describe_missing_key(address, sends_key=sends_key)}"
        case "PERMISSION_DENIED", "PERMISSION_DENIED":
            return f"{error}: {_NAME_KEY}; `akin key` creates keys with other scopes and catalogs"
    return str(error)


def _describe_timeout(address: str, tls: akin.Tls | None) -> str:
    """Distinguish a slow call from an address without an Akin server by a health check."""
    try:
        with akin.Client(address, tls=tls, timeout_seconds=_HEALTH_CHECK_SECONDS) as client:
            client.is_serving()
    except akin.AkinError:
        return (
            f"the server at {address} did not respond in time: if it is no Akin server, "
            f"{_NAME_ADDRESS}"
        )
    return (
        f"the server at {address} responds, but did not finish the call in time: ask for less, or "
        "try again when it has less to do"
    )


def _describe_missing_key(address: str, *, sends_key: bool) -> str:
    if sends_key:
        return (
            f"the server at {address} does not know the API key: {_NAME_KEY}; `akin key` creates "
            "keys"
        )
    return (
        f"the server at {address} requires an API key: name the file of one with --key-file, or "
        f"set {API_KEY_VARIABLE} to the key; `akin key` creates keys"
    )


def _describe_connection_error(error: akin.AkinError, address: str, tls: akin.Tls | None) -> str:
    problem = find_connection_problem(address, tls)
    if problem is None and _OTHER_PROTOCOL in error.message:
        problem = ConnectionProblem.OTHER_PROTOCOL
    if problem is not None:
        return _PROBLEMS[problem].format(address)
    variable = find_proxy_variable(address)
    proxy = f"; the proxy of the variable {variable} is used, unless no_proxy lists the host"
    return f"{error}{proxy if variable else ''}"
