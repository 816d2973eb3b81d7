"""Binds sockets to the addresses of settings."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

from service import errors


def bind_address(listen: str, option: int) -> socket.socket:
    """Return a TCP socket that is bound to an address, and closed by the caller.

    Args:
        listen: host:port, with 0 for a free port.
        option: of SOL_SOCKET, set before. With SO_REUSEADDR, the port must be free; with
            SO_REUSEPORT, sockets with the same option may share it.

    Raises:
        OSError: nobody can listen on the address, or another socket does.
    """
    family, address = _find_addresses(listen)[0]
    return _bind(family, address, option)


def open_listeners(listen: str, *, shared_port: bool) -> list[socket.socket]:
    """Return a listening TCP socket for each address of a host, all with the same port.

    The caller closes them.

    Args:
        listen: host:port, with 0 for a free port.
        shared_port: whether other processes listen on the same port.

    Raises:
        AddressUnavailable: nobody can listen on the address, or another socket does.
    """
    option = socket.SO_REUSEPORT if shared_port else socket.SO_REUSEADDR
    try:
        with ExitStack() as opened:
            sockets: list[socket.socket] = []
            addresses = _find_addresses(listen)
            for family, (host, port, *scope) in addresses:
                address = (host, sockets[0].getsockname()[1] if sockets else port, *scope)
                bound = _bind(family, address, option, only_ipv6=len(addresses) > 1)
                sockets.append(opened.enter_context(bound))
                bound.listen()
            opened.pop_all()
            return sockets
    except OSError as exc:
        raise errors.AddressUnavailable(f"cannot listen on {listen}", listen) from exc


def _find_addresses(listen: str) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """Return the distinct addresses of a host and port, each with its family."""
    host, _, port = listen.rpartition(":")
    infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in infos))


def _bind(
    family: socket.AddressFamily, address: tuple[Any, ...], option: int, *, only_ipv6: bool = False
) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        if only_ipv6 and family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
