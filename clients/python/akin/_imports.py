"""Streams of import requests, for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

# A message this small lets callers see progress, and is large enough for a shared commit.
MESSAGE_RESOURCES = 250
MESSAGE_BYTES = 4 * 1024 * 1024

Resource = TypeVar("Resource", bound=Message)
Request = TypeVar("Request", bound=Message)


def split(resources: Iterable[Resource]) -> Iterator[list[Resource]]:
    """Split items or users into groups of one message each.

    A group has at most MESSAGE_RESOURCES resources and MESSAGE_BYTES bytes. A larger resource is a
    group of its own.
    """
    group: list[Resource] = []
    group_bytes = 0
    for resource in resources:
        resource_bytes = resource.ByteSize()
        if group and group_bytes + resource_bytes > MESSAGE_BYTES:
            yield group
            group, group_bytes = [], 0
        group.append(resource)
        group_bytes += resource_bytes
        if len(group) == MESSAGE_RESOURCES:
            yield group
            group, group_bytes = [], 0
    if group:
        yield group


class RequestStream(Iterator[Request]):
    """Requests of a stream.

    Attributes:
        failure: the exception that making a request raised. gRPC does not pass it on.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self.failure: Exception | None = None
        self._requests = iter(requests)

    def __next__(self) -> Request:
        """Return the next request."""
        try:
            return next(self._requests)
        except StopIteration:
            raise
        except Exception as exc:
            self.failure = exc
            raise
