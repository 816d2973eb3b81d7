"""Says in one line why a server does not start, and what to do about it."""

from __future__ import annotations

import errno
import socket

from service import errors
from service.server.listen_addresses import bind_address
from service.settings import Settings

_REASONS = {
    errno.EADDRINUSE: "another process uses the port; stop it, or ",
    errno.EADDRNOTAVAIL: "it is no address of this machine; ",
}

# Ports below this one are open to processes with the privilege only, on most systems.
_FIRST_UNPRIVILEGED_PORT = 1_024
_PRIVILEGED = "ports below 1024 are reserved for the administrator; "


def describe_start_error(error: BaseException, settings: Settings | None) -> str:
    """Return the error of a server that does not start.

    Args:
        error: the error.
        settings: the settings of the server; None if they are the error.
    """
    if isinstance(error, errors.FolderInUse):
        return (
            f"{error}; stop that server, or set AKIN_DATA_DIR to another folder (AKIN_WORKERS runs "
            "several processes over one folder)"
        )
    if isinstance(error, errors.AddressUnavailable) and settings is not None:
        for name, address in (
            ("AKIN_LISTEN", settings.listen),
            ("AKIN_HTTP_LISTEN", settings.http_listen),
            ("AKIN_CONSOLE_LISTEN", settings.console_listen),
            ("AKIN_METRICS_LISTEN", settings.metrics_listen),
            ("AKIN_HEALTH_LISTEN", settings.health_listen),
        ):
            if address == error.address:
                return f"{error}: {_explain_address(address)}set {name} to another address"
    return str(error)


def _explain_address(address: str) -> str:
    """Return why nobody can listen on an address; empty if somebody can by now."""
    port = address.rpartition(":")[2]
    try:
        bind_address(address, socket.SO_REUSEADDR).close()
    except socket.gaierror:
        return "the host is unknown; "
    except PermissionError as exc:
        is_privileged = int(port) < _FIRST_UNPRIVILEGED_PORT
        return _PRIVILEGED if is_privileged else f"{exc.strerror}; "
    except OSError as exc:
        return _REASONS.get(exc.errno or 0, f"{exc.strerror}; ")
    return ""
