"""Deadlines, retries, message sizes and credentials, for both clients."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import grpc

# Default deadline of a call, retries included.
TIMEOUT_SECONDS = 10.0

# Default deadline of a call that can go through a whole catalog, retries included.
CATALOG_TIMEOUT_SECONDS = 600.0

# Maximum size of a request or response; servers send and accept up to 16 MiB.
MESSAGE_BYTES = 64 * 1024 * 1024

# Five attempts, gRPC's maximum, with pauses of about 0.5, 1, 2 and 4 s outlast a restart of the
# server within the deadline. If the connection broke after a write was stored, the retry finds it
# stored: deletions, commits and rollbacks return NOT_FOUND, a write with expected_sequence returns
# ABORTED, and BatchDeleteItems counts only the items that were left.
# Streams are not retried: gRPC would buffer their messages, and a stream of the blocking client
# does not end if the server dies before its first response.
_SERVICE_CONFIG = (resources.files("akin") / "v1" / "service_config.json").read_text()

CHANNEL_OPTIONS = (
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
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

    An API key is sent over TLS or to this machine; gRPC refuses to send it over a plain network.
    """
    if tls is None and not api_key:
        return None
    if tls is None:
        transport = grpc.local_channel_credentials()
    else:
        transport = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
    if not api_key:
        return transport
    return grpc.composite_channel_credentials(
        transport, grpc.access_token_call_credentials(api_key)
    )
