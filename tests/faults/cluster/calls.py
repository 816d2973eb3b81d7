"""Counts the outcomes of all calls of a connection."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from akin._errors import decode

# Answers, not failures: they say what the store has.
ANSWERS = frozenset(
    {
        "ITEM_NOT_FOUND",
        "USER_NOT_FOUND",
        "SEQUENCE_MISMATCH",
    }
)


class CallCounter(
    grpc.UnaryUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Counts calls by code and reason; for several threads.

    Attributes:
        successes: calls that got an answer.
        failures: other calls.
        unexpected: those that are not UNAVAILABLE, or by which a server names no time to wait.
    """

    def __init__(self) -> None:
        self.successes = 0
        self.failures: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self._lock = threading.Lock()

    def connect(self, channel: grpc.Channel) -> grpc.Channel:
        """Return a channel whose calls are counted."""
        return grpc.intercept_channel(channel, self)

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        """Send a request, and count its outcome."""
        call = continuation(details, request)
        self._count(details.method, call.exception())
        return call

    def intercept_stream_stream(
        self, continuation: Callable[..., Any], details: Any, requests: Iterator[Any]
    ) -> Any:
        """Send a stream, and count its outcome once the responses are read."""
        call = continuation(details, requests)
        call.add_done_callback(
            lambda ended: self._count(details.method, ended if ended.code().value[0] else None)
        )
        return call

    def _count(self, method: str, failure: Any) -> None:
        with self._lock:
            if failure is None:
                self.successes += 1
                return
            error = decode(failure)
            name = f"{error.code.name} {error.reason}".rstrip()
            if error.reason in ANSWERS:
                self.successes += 1
                return
            self.failures[name] += 1
            lacks_delay = bool(error.reason) and error.retry_after_seconds is None
            if error.code is not grpc.StatusCode.UNAVAILABLE or lacks_delay:
                self.unexpected[f"{method.rpartition('/')[2]}: {name}: {error.message}"] += 1
