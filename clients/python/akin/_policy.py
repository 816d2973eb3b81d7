"""Deadlines, retries, connections, message sizes and credentials, for both clients."""

from __future__ import annotations

from importlib import resources
from ipaddress import ip_address
from typing import NamedTuple

import grpc

# Default deadline of a call, retries included.
TIMEOUT_SECONDS = 10.0

# Default deadline of a call that can go through a whole catalog, retries included.
CATALOG_TIMEOUT_SECONDS = 600.0

# Default idle timeout of streams.
IDLE_TIMEOUT_SECONDS = 20.0

# Bounds the pause between two attempts to connect. gRPC lengthens a pause by up to 20%, so the
# client connects within 5 s after the server is back.
_RECONNECT_PAUSE_SECONDS = 4.0

# Bounds one attempt to connect, including the TLS handshake.
_CONNECT_TIMEOUT_SECONDS = 5.0

# While a call runs and the server sends nothing, the client pings the server after the first time,
# and closes the connection if the second time passes without a response. Servers accept a ping
# every 10 s. While the client sends, the second time alone closes the connection: gRPC also sends
# pings with data, and the system waits for the receipt of the data (TCP_USER_TIMEOUT). An import
# can therefore lose its connection before the idle timeout; see IdleTimeout.explain.
KEEPALIVE_SECONDS = 10.0
_KEEPALIVE_TIMEOUT_SECONDS = 15.0

# Maximum size of a request or response; servers send and accept up to 16 MiB.
MESSAGE_BYTES = 64 * 1024 * 1024

# Five attempts, gRPC's maximum, with pauses of about 0.5, 1, 2 and 4 s outlast a restart of the
# server within the deadline. If the connection broke after a write was stored, the retry finds it
# stored: deletions, commits and rollbacks return NOT_FOUND, a write with expected_sequence returns
# ABORTED, and BatchDeleteItems counts only the items that were left.
# Calls are spread over all addresses of the server's name, and so is a retry.
# Streams are not retried: gRPC would buffer their messages, and a stream of the blocking client
# does not end if the server dies before its first response.
_SERVICE_CONFIG = (resources.files("akin") / "v1" / "service_config.json").read_text()

_CHANNEL_OPTIONS = (
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", int(1000 * _RECONNECT_PAUSE_SECONDS)),
    # The name of gRPC for the timeout of an attempt.
    ("grpc.min_reconnect_backoff_ms", int(1000 * _CONNECT_TIMEOUT_SECONDS)),
    ("grpc.keepalive_time_ms", int(1000 * KEEPALIVE_SECONDS)),
    ("grpc.keepalive_timeout_ms", int(1000 * _KEEPALIVE_TIMEOUT_SECONDS)),
    # Replaces the timeout of the keepalive if gRPC takes a ping of another kind for it.
    ("grpc.http2.ping_timeout_ms", int(1000 * _KEEPALIVE_TIMEOUT_SECONDS)),
    # By default, gRPC stops to send pings while no call sends data.
    ("grpc.http2.max_pings_without_data", 0),
    # Otherwise all clients of a process share one connection and its pause after a failure.
    ("grpc.use_local_subchannel_pool", 1),
)


class Tls(NamedTuple):
    """TLS settings, in PEM.

    Attributes:
        authority: CA bundle for verifying the server; None means the system's.
        certificate: certificate chain of the client, for mTLS.
        key: private key of the certificate.
    """

    authority: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


def credentials(api_key: str, tls: Tls | None) -> grpc.ChannelCredentials | None:
    """Return the credentials of a channel; None means a channel without TLS.

    With an API key, the channel connects over TLS or to this machine only.
    """
    if tls is not None:
        return grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
    return grpc.local_channel_credentials() if api_key else None


def make_key_metadata(api_key: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of each call on a channel with the credentials for an API key.

    gRPC's call credentials would add it, too. But a process with them can stop for ever while it
    closes a channel (https://github.com/grpc/grpc/pull/42247).
    """
    return (("authorization", f"Bearer {api_key}"),) if api_key else ()


def channel_options(address: str) -> tuple[tuple[str, int | str], ...]:
    """Return the options of a channel to an address."""
    # The proxies of the environment are for other machines.
    return (*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(not is_loopback(address))))


def is_loopback(address: str) -> bool:
    """Return whether traffic to an address stays on this machine.

    Returns False for a name other than localhost, and for an address in an unknown form.
    """
    scheme, _, rest = address.partition(":")
    if scheme in {"unix", "unix-abstract"}:
        return True
    if scheme in {"ipv4", "ipv6"}:
        return all(_is_loopback_host(_split_host(part)) for part in rest.split(","))
    if scheme == "dns":
        address = rest.rpartition("/")[2]
    return _is_loopback_host(_split_host(address))


def _split_host(address: str) -> str:
    """Return the host of `host`, `host:port`, `[IPv6]:port`, or of an IPv6 address."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]


def _is_loopback_host(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
