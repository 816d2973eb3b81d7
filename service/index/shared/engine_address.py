"""Where the engine of shared indexes is."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit


class EngineAddress(NamedTuple):
    """The address of the engine's gRPC.

    Attributes:
        target: a target of gRPC without the port of its last address, such as `dns:///qdrant`.
        port: that port.
        authority: the name of the engine in requests.
        tls: whether the engine uses TLS.
        api_key: its key; empty if it has none.
    """

    target: str
    port: int
    authority: str
    tls: bool
    api_key: str


def parse_engine_url(url: str, api_key: str) -> EngineAddress:
    """Return the address in a URL with one host or several IPv4 addresses, each with its port.

    A host can have several addresses in DNS, one for each machine of the engine. All are used.
    """
    parts = urlsplit(url)
    *others, last = parts.netloc.split(",")
    host, _, port = last.rpartition(":")
    target = f"dns:///{host}" if not others else f"ipv4:{','.join([*others, host])}"
    authority = others[0] if others else last
    return EngineAddress(target, int(port), authority, parts.scheme == "https", api_key)
