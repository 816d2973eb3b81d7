"""How both clients treat the network: deadlines, retries, sizes."""

from __future__ import annotations

from importlib import resources

TIMEOUT_SECONDS = 10.0
"""The deadline of a call that is given none; retries happen within it."""

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
