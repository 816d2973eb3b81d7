"""Streams of import requests, for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock
from typing import TypeVar

from google.protobuf.message import Message

from akin._errors import make_early_end_error

# Maximum number of items or users in a message: callers see progress, and commits are large enough.
IMPORT_MESSAGE_RESOURCES = 250

# Maximum size of a message with several items or users, well below the 16 MiB that servers accept.
IMPORT_MESSAGE_BYTES = 4 * 1024 * 1024

# Maximum time that the error of a call waits for an iterable that blocks, such as a queue.
READ_SECONDS = 5.0

Resource = TypeVar("Resource", bound=Message)
Request = TypeVar("Request", bound=Message)


def split(resources: Iterable[Resource]) -> Iterator[list[Resource]]:
    """Split items or users into groups of one message each.

    A group has at most IMPORT_MESSAGE_RESOURCES resources and IMPORT_MESSAGE_BYTES bytes. A larger
    resource is a group of its own.
    """
    group: list[Resource] = []
    group_bytes = 0
    for resource in resources:
        resource_bytes = resource.ByteSize()
        if group and group_bytes + resource_bytes > IMPORT_MESSAGE_BYTES:
            yield group
            group, group_bytes = [], 0
        group.append(resource)
        group_bytes += resource_bytes
        if len(group) == IMPORT_MESSAGE_RESOURCES:
            yield group
            group, group_bytes = [], 0
    if group:
        yield group


class RequestStream(Iterator[Request]):
    """Requests of a stream. The stream ends early if the caller's iterable raises."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = iter(requests)
        self._reading = Lock()
        self._stopped = False
        self._failure: Exception | None = None
        self._request_count = 0
        self._is_exhausted = False

    def __next__(self) -> Request:
        """Return the next request."""
        with self._reading:
            if self._stopped:
                raise StopIteration
            try:
                request = next(self._requests)
            except StopIteration:
                self._is_exhausted = True
                raise
            except Exception as exc:
                self._failure = exc
                raise StopIteration from exc
            self._request_count += 1
            return request

    def stop(self) -> Exception | None:
        """Stop reading, and return the exception that the caller's iterable raised, if any.

        Blocking gRPC reads in a thread of its own, so the call can end during a read. That read is
        waited for, up to READ_SECONDS.
        """
        self._stopped = True
        if self._reading.acquire(timeout=READ_SECONDS):
            self._reading.release()
        return self._failure

    def check_end(self, response_count: int) -> None:
        """Check that a call that ended with OK has answered all requests.

        Raises:
            Exception: the one that the caller's iterable raised.
            AkinError: INTERNAL, because a request has no response.
        """
        if (failure := self.stop()) is not None:
            raise failure
        if not self._is_exhausted or response_count < self._request_count:
            raise make_early_end_error()
