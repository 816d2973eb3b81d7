"""Network addresses."""

from __future__ import annotations

from ipaddress import ip_address


def replace_port(address: str, port: int) -> str:
    """Return an address of the form host:port with another port."""
    return f"{address.rpartition(':')[0]}:{port}"


def find_host(address: str) -> str:
    """Return the host of an address of the form host:port."""
    return address.rpartition(":")[0]


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address is this machine; False for other names."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
