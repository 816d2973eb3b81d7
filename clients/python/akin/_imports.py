"""Streams of import requests, for both clients."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message

from akin._errors import make_early_end_error

# Maximum number of items or users in a message: callers see progress, and commits are large enough.
IMPORT_MESSAGE_RESOURCES = 250

# Maximum size of a message with several items or users, well below the 16 MiB that servers accept.
IMPORT_MESSAGE_BYTES = 4 * 1024 * 1024

# Maximum time that the error of a call waits for an iterable that blocks, such as a queue. If the
# iterable raises at about the same time as the call, its exception explains the error.
READ_SECONDS = 0.5

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


class _Failure(Protocol):
    position: int


class FailurePositions:
    """Makes positions in a message positions in all messages of a stream."""

    def __init__(self) -> None:
        self._sizes: deque[int] = deque()
        self._offset = 0

    def add_group(self, size: int) -> None:
        """Note the number of resources in the next request."""
        self._sizes.append(size)

    def complete(self, failures: Iterable[_Failure]) -> None:
        """Change the positions of the failures in the next response."""
        for failure in failures:
            failure.position += self._offset
        if self._sizes:  # a server can send more responses than it received requests
            self._offset += self._sizes.popleft()


class RequestStream(Iterator[Request], Generic[Resource, Request]):
    """Requests of a stream. The stream ends early if the caller's iterable raises.

    At its end, it releases the caller's iterable: Python then closes it if it is a generator.

    Args:
        resources: the caller's iterable of items or users.
        make_request: makes a request of a group of them.
    """

    def __init__(
        self, resources: Iterable[Resource], make_request: Callable[[list[Resource]], Request]
    ) -> None:
        self._stopped = False
        self._requests: Iterator[Request] = map(make_request, split(self._read(resources)))
        self._reading = Lock()
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
            if self._stopped:  # during the read
                self._requests = iter(())
                raise StopIteration
            self._request_count += 1
            return request

    def _read(self, resources: Iterable[Resource]) -> Iterator[Resource]:
        for resource in resources:
            if self._stopped:
                return
            yield resource

    def stop(self) -> Exception | None:
        """Stop reading, and return the exception that the caller's iterable raised, if any.

        Blocking gRPC reads in a thread of its own, so the call can end during a read. That read is
        waited for, up to READ_SECONDS. If it takes longer, the thread ends after it.
        """
        self._stopped = True
        if self._reading.acquire(timeout=READ_SECONDS):
            self._reading.release()
        return self._failure

    def close(self) -> None:
        """Stop reading without waiting, and release the caller's iterable."""
        self._stopped = True
        if self._reading.acquire(blocking=False):
            self._requests = iter(())
            self._reading.release()

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
