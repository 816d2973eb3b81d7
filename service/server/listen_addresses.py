"""Binds sockets to the addresses of settings."""

from __future__ import annotations

import socket


def bind_address(listen: str, option: int) -> socket.socket:
    """Return a TCP socket that is bound to an address, and closed by the caller.

    Args:
        listen: host:port, with 0 for a free port.
        option: of SOL_SOCKET, set before. With SO_REUSEADDR, the port must be free; with
            SO_REUSEPORT, sockets with the same option may share it.

    Raises:
        OSError: nobody can listen on the address, or another socket does.
    """
    host, _, port = listen.rpartition(":")
    family, _, _, _, address = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM
    )[0]
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
