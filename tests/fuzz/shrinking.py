"""Makes the requests of a failed call smaller, as long as the call fails in the same way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from fuzz.calls import Call

Change = Callable[[Any], None]

# Calls that shrinking may make; most failures are small long before.
ATTEMPTS = 300


async def shrink(call: Call, still_fails: Callable[[Call], Awaitable[bool]]) -> Call:
    """Return the smallest call that still fails, of those that were tried.

    Args:
        call: a call that failed.
        still_fails: makes a call, and returns whether it fails in the same way.
    """
    attempts = ATTEMPTS
    progress = True
    while progress:
        progress = False
        for smaller in _propose(call):
            if not attempts:
                return call
            attempts -= 1
            if await still_fails(smaller):
                call, progress = smaller, True
                break
    return call


def _propose(call: Call) -> Iterator[Call]:
    """Yield smaller calls, the smallest first."""
    for position, data in enumerate(call.requests):
        before, after = call.requests[:position], call.requests[position + 1 :]
        if len(call.requests) > 1:
            yield replace(call, requests=before + after)
        for smaller in _propose_requests(call, data):
            if len(smaller) < len(data):
                yield replace(call, requests=(*before, smaller, *after))


def _propose_requests(call: Call, data: bytes) -> Iterator[bytes]:
    try:
        message = GetMessageClass(call.method.request).FromString(data)
    except DecodeError:
        yield from _cut(data)
        return
    for smaller in _reduce(message):
        yield smaller.SerializeToString(deterministic=True)


def _cut(data: bytes) -> Iterator[bytes]:
    """Yield the bytes without a part, the largest parts first."""
    size = len(data) // 2
    while size:
        for start in range(0, len(data), size):
            yield data[:start] + data[start + size :]
        size //= 2


def _reduce(message: Message) -> Iterator[Message]:
    """Yield copies of a message with one field less, or with a smaller value."""
    for field, value in message.ListFields():
        yield _change(message, partial(_clear, field.name))
        for change in _reduce_value(field, value):
            yield _change(message, change)


def _change(message: Message, change: Change) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    change(copy)
    return copy


def _reduce_value(field: Any, value: Any) -> Iterator[Change]:
    """Yield functions that put a smaller value into a message."""
    if field.is_repeated and field.message_type and field.message_type.GetOptions().map_entry:
        for key in list(value):
            yield partial(_remove_key, field.name, key)
    elif field.is_repeated:
        yield from _reduce_list(field, value)
    elif field.message_type is not None:
        for smaller in _reduce(value):
            yield partial(_replace, field.name, smaller)
    elif isinstance(value, str) and len(value) > 1:
        half = len(value) // 2
        yield partial(_set, field.name, value[:half])
        yield partial(_set, field.name, value[half:])


def _reduce_list(field: Any, value: Any) -> Iterator[Change]:
    half = len(value) // 2
    if half:
        yield partial(_delete, field.name, slice(half, None))
        yield partial(_delete, field.name, slice(half))
    if field.message_type is not None:
        for position, child in enumerate(value[:3]):
            for smaller in _reduce(child):
                yield partial(_replace_entry, field.name, position, smaller)


def _clear(name: str, message: Any) -> None:
    message.ClearField(name)


def _remove_key(name: str, key: Any, message: Any) -> None:
    del getattr(message, name)[key]


def _replace(name: str, value: Message, message: Any) -> None:
    getattr(message, name).CopyFrom(value)


def _replace_entry(name: str, position: int, value: Message, message: Any) -> None:
    getattr(message, name)[position].CopyFrom(value)


def _set(name: str, value: str, message: Any) -> None:
    setattr(message, name, value)


def _delete(name: str, part: slice, message: Any) -> None:
    del getattr(message, name)[part]
