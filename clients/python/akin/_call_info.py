"""Request ids to send, and what the server says about a call in its trailing metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

REQUEST_ID_KEY = "x-request-id"
_SERVER_TIMING_KEY = "server-timing"

# Blocking gRPC returns tuples, and grpc.aio a class of its own.
Metadata: TypeAlias = Iterable[tuple[str, str | bytes]] | None


class CallInfo:
    """What the server said about the last call that ended inside `akin.call_info`.

    Attributes:
        request_id: the id of the call, which the server's log has as `request_id`; before the call,
            the id to send.
        server_timing: the seconds of each stage of a successful call in the server; `total` is the
            whole call.
    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.server_timing: Mapping[str, float] = {}
        self.sent_metadata = ((REQUEST_ID_KEY, request_id),) if request_id else ()

    def read(self, trailing_metadata: Metadata) -> None:
        """Take over the trailing metadata of a call that has ended."""
        self.request_id = find(trailing_metadata, REQUEST_ID_KEY)
        self.server_timing = _parse_timing(find(trailing_metadata, _SERVER_TIMING_KEY))


_current: ContextVar[CallInfo | None] = ContextVar("akin_call_info", default=None)


@contextmanager
def call_info(request_id: str = "") -> Iterator[CallInfo]:
    """Observe the calls inside of a `with` statement, of both kinds of clients.

        with akin.call_info(request_id="order-1017") as info:
            client.recommend_similar(text="jogging in the rain")
        print(info.request_id, info.server_timing["total"])

    It applies to calls that the current thread or asyncio task makes, and to streams that it starts
    to iterate over. With several calls, the result is that of the last one.

    Args:
        request_id: the id to send with each call, 1 to 128 visible ASCII characters; the server
            replaces any other one. Empty: the server makes one.
    """
    info = CallInfo(request_id)
    token = _current.set(info)
    try:
        yield info
    finally:
        _current.reset(token)


def current() -> CallInfo | None:
    """Return what observes the calls of the current thread or task, or None."""
    return _current.get()


def find(metadata: Metadata, name: str) -> str:
    """Return the value of a key of a call's metadata that holds text, or an empty string."""
    for key, value in metadata or ():
        if key == name and isinstance(value, str):
            return value
    return ""


def _parse_timing(header: str) -> dict[str, float]:
    """Return the seconds of each stage of a Server-Timing header (W3C), without other entries."""
    seconds: dict[str, float] = {}
    for entry in header.split(","):
        name, _, milliseconds = entry.strip().partition(";dur=")
        try:
            seconds[name] = float(milliseconds) / 1_000
        except ValueError:  # a proxy may add entries without a duration
            continue
    return seconds
