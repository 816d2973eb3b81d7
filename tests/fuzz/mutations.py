"""Damaged messages: bytes that were a message before, and messages that are nested too deeply."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from google.protobuf.descriptor import Descriptor

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
MAX_FIELD_NUMBER = 2**29 - 1

# Levels of nesting: within the limits of the contract, around the 100 of protobuf, and far beyond.
DEPTHS = (3, 8, 30, 49, 50, 98, 99, 100, 101, 1_000, 3_000)


def varint(value: int) -> bytes:
    """Return an unsigned integer of up to 64 bits as protobuf writes it."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def tag(number: int, wire_type: int) -> bytes:
    """Return the bytes that start a field."""
    return varint(number << 3 | wire_type)


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Return a message with a few random damages.

    Args:
        rng: chooses the damages.
        data: a message.
        other: another message, of which parts are inserted.
    """
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice(_MUTATIONS)(rng, data, other)
    return data


def nest(rng: random.Random, descriptor: Descriptor) -> bytes | None:
    """Return a message with deep nesting; None if the type has no recursion."""
    cycles = list(_find_cycles(descriptor, (), ()))
    if not cycles:
        return None
    prefix, cycle = rng.choice(cycles)
    data = b""
    for _ in range(rng.choice(DEPTHS)):
        data = _wrap(data, cycle)
    return _wrap(data, prefix)


def _wrap(data: bytes, numbers: Sequence[int]) -> bytes:
    for number in reversed(numbers):
        data = tag(number, LENGTH) + varint(len(data)) + data
    return data


def _find_cycles(
    descriptor: Descriptor, path: tuple[int, ...], types: tuple[Descriptor, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield field numbers from the message to a recursive type, and from that type to itself."""
    if descriptor in types:
        start = types.index(descriptor)
        yield path[:start], path[start:]
        return
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from _find_cycles(field.message_type, (*path, field.number), (*types, descriptor))


def _flip_bit(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    if not data:
        return b"\x01"
    damaged = bytearray(data)
    damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _set_byte(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    if not data:
        return b"\xff"
    damaged = bytearray(data)
    damaged[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xC0, 0xED, 0xFF))
    return bytes(damaged)


def _truncate(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[end:]


def _insert_part(rng: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(other) + 1) for _ in range(2))
    position = rng.randrange(len(data) + 1)
    return data[:position] + other[start:end] + data[position:]


def _insert_noise(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    position = rng.randrange(len(data) + 1)
    return data[:position] + rng.randbytes(rng.choice((1, 2, 8, 64))) + data[position:]


def _join(_rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data + other


def _repeat_fields(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    fields = _split(data)
    return data + b"".join(rng.choices(fields, k=rng.choice((1, 3, 50)))) if fields else data


def _shuffle_fields(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    fields = _split(data)
    rng.shuffle(fields)
    return b"".join(fields)


def _change_wire_type(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    fields = _split(data)
    if not fields:
        return data
    chosen = rng.randrange(len(fields))
    field = bytearray(fields[chosen])
    field[0] = field[0] & 0xF8 | rng.randrange(8)
    return b"".join((*fields[:chosen], bytes(field), *fields[chosen + 1 :]))


def _add_field(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    number = rng.choice((0, 1, 2, 3, 4, 5, 15, 16, 1_000, 19_000, MAX_FIELD_NUMBER))
    return data + rng.choice(
        (
            tag(number, VARINT) + varint(rng.choice((0, 1, 2**31, 2**63, 2**64 - 1))),
            tag(number, VARINT) + b"\xff" * 10 + b"\x01",
            tag(number, FIXED64) + rng.randbytes(8),
            tag(number, FIXED32) + rng.randbytes(4),
            tag(number, LENGTH) + varint(rng.choice((1, 2**31 - 1, 2**31, 2**32, 2**63))),
            tag(number, LENGTH) + b"\x03\xed\xa0\x80",
            tag(number, LENGTH) + b"\x02\xc3\x28",
            tag(number, START_GROUP) + tag(1, VARINT) + b"\x01" + tag(number, END_GROUP),
            tag(number, START_GROUP) * rng.choice((1, 99, 10_000)),
            tag(number, END_GROUP),
            tag(number, 6) + b"\x00",
            tag(number, 7) + b"\x00",
        )
    )


def _split(data: bytes) -> list[bytes]:
    """Return the fields of the outermost message; of a damaged one, those before the damage."""
    starts = [0]
    position = 0
    while (end := _skip_field(data, position)) is not None:
        starts.append(end)
        position = end
    fields = [data[start:end] for start, end in pairwise(starts)]
    return fields if position == len(data) else [*fields, data[position:]]


def _skip_field(data: bytes, position: int) -> int | None:
    """Return where the field at a position ends; None at the end, and for a damaged field."""
    key, position = _read_varint(data, position)
    if key is None:
        return None
    match key & 7:
        case 0:
            value, end = _read_varint(data, position)
            return None if value is None else end
        case 1:
            end = position + 8
        case 2:
            size, end = _read_varint(data, position)
            if size is None:
                return None
            end += size
        case 5:
            end = position + 4
        case _:
            return None
    return end if end <= len(data) else None


def _read_varint(data: bytes, position: int) -> tuple[int | None, int]:
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, position + shift + 1
    return None, position


_MUTATIONS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _truncate,
    _remove,
    _insert_part,
    _insert_noise,
    _join,
    _repeat_fields,
    _shuffle_fields,
    _change_wire_type,
    _add_field,
)
