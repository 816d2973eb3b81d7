"""How both clients treat the network: deadlines, retries, sizes."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import grpc

TIMEOUT_SECONDS = 10.0
"""The deadline of a call that is given none; retries happen within it."""

ANALYSIS_TIMEOUT_SECONDS = 600.0
"""The same of a call that goes through a whole catalog."""

MESSAGE_BYTES = 64 * 1024 * 1024

# Five attempts, gRPC's most, after about 0.5, 1, 2 and 4 s outlast a server's restart within the
# deadline. Where the connection broke after the work was done, the repeat of a write finds it done:
# DeleteItem answers NOT_FOUND, and a write with expected_sequence ABORTED.
# Streams are left out: gRPC would keep their messages for a repeat, and the blocking client's
# stream does not end when the server dies before its first reply.
_SERVICE_CONFIG = (resources.files("akin") / "v1" / "service_config.json").read_text()

CHANNEL_OPTIONS = (
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
)


class Tls(NamedTuple):
    """How to speak TLS; all in PEM.

    Attributes:
        authority: whose servers to trust; None for those that the system trusts.
        certificate: the client's own, with its chain, where the server wants one.
        key: the certificate's.
    """

    authority: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


def credentials(api_key: str, tls: Tls | None) -> grpc.ChannelCredentials | None:
    """What a channel needs; None for a plain one.

    A key goes over TLS, or else to this machine only: gRPC refuses to send it elsewhere.
    """
    if tls is None and not api_key:
        return None
    if tls is None:
        made = grpc.local_channel_credentials()
    else:
        made = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
    if not api_key:
        return made
    return grpc.composite_channel_credentials(made, grpc.access_token_call_credentials(api_key))
