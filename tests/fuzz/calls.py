"""The calls of a fuzz: each depends only on the seed, the method, and its number."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import grpc
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from fuzz.generation import MessageGenerator
from fuzz.methods import Method
from fuzz.mutations import mutate, nest
from fuzz.vocabulary import MARKER, Vocabulary

# No call may take longer. Most take milliseconds, and none a tenth of this on an idle machine.
DEADLINE_SECONDS = 60.0

KEY = "fuzz-key"
AUTHORIZATION = ("authorization", f"Bearer {KEY}")

# How many calls with an odd deadline have no request. grpc.aio never answers a unary call that ends
# without one, before it calls a handler; it must only cost its caller the time until its deadline.
NO_REQUEST_SHARE, NO_REQUEST_SECONDS = 0.2, 0.2

# Above the limit of the contract, and below the one at which gRPC refuses messages by itself.
MAX_REQUEST_BYTES = 17 * 1024 * 1024

# Characters of a request that a description shows.
SHOWN_CHARACTERS = 4_000

Metadata = tuple[tuple[str, str | bytes], ...]


class Kind(StrEnum):
    """What is odd about a call."""

    GENERATED = "generated"
    MUTATED = "mutated"
    NESTED = "nested"
    SEQUENCE = "sequence"
    METADATA = "metadata"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


# The number of calls of each kind, of a hundred.
SHARES = {
    Kind.GENERATED: 55,
    Kind.MUTATED: 28,
    Kind.NESTED: 4,
    Kind.SEQUENCE: 4,
    Kind.METADATA: 4,
    Kind.DEADLINE: 2,
    Kind.CANCELLED: 3,
}


@dataclass(frozen=True)
class Call:
    """A call to make.

    Attributes:
        method: the method to call.
        number: the number of the call among those of the method.
        kind: what is odd about it.
        requests: the messages to send.
        metadata: the metadata to send.
        timeout_seconds: the deadline of the call.
        cancel_seconds: when the caller cancels the call; None: it does not.
        compression: how requests are compressed.
    """

    method: Method
    number: int
    kind: Kind
    requests: tuple[bytes, ...]
    metadata: Metadata = (AUTHORIZATION,)
    timeout_seconds: float = DEADLINE_SECONDS
    cancel_seconds: float | None = None
    compression: grpc.Compression = field(default=grpc.Compression.NoCompression)

    def describe(self) -> str:
        """Return the call for people: requests as text, or in hexadecimal if they are damaged."""
        lines = [f"{self.method.path} number {self.number} ({self.kind})"]
        if self.metadata != (AUTHORIZATION,):
            lines.append(f"metadata: {self.metadata!r}"[:SHOWN_CHARACTERS])
        if self.timeout_seconds != DEADLINE_SECONDS:
            lines.append(f"timeout: {self.timeout_seconds} s")
        if self.cancel_seconds is not None:
            lines.append(f"cancelled after {self.cancel_seconds} s")
        lines += [_describe_request(self.method, data) for data in self.requests]
        return "\n".join(lines)


def _describe_request(method: Method, data: bytes) -> str:
    try:
        message = GetMessageClass(method.request).FromString(data)
        text = text_format.MessageToString(message, as_utf8=True)
    except (DecodeError, RecursionError):
        text = data.hex()
    shown = text[:SHOWN_CHARACTERS]
    return f"request of {len(data)} bytes:\n{shown}" + ("..." if len(text) > len(shown) else "")


def make_call(seed: int, method: Method, number: int, words: Vocabulary) -> Call:
    """Return a call of a method."""
    rng = random.Random(f"{seed} {method.path} {number}")
    (kind,) = rng.choices(list(SHARES), list(SHARES.values()))
    count = rng.choice((0, 1, 1, 2, 3, 8)) if method.client_streaming else 1
    requests = tuple(_make_request(rng, method, kind, words) for _ in range(count))
    match kind:
        case Kind.SEQUENCE if not method.client_streaming:
            # Wrong by the protocol, which wants one request.
            return Call(method, number, kind, requests * rng.choice((2, 5)))
        case Kind.SEQUENCE:
            return Call(method, number, kind, requests * rng.choice((0, 1, 30)))
        case Kind.METADATA:
            compression = rng.choice(list(grpc.Compression))
            metadata = _make_metadata(rng)
            return Call(method, number, kind, requests, metadata, compression=compression)
        case Kind.DEADLINE:
            timeout = rng.choice((0.0, 1e-6, 0.0005, 0.002, 0.01))
            if not method.client_streaming and rng.random() < NO_REQUEST_SHARE:
                requests, timeout = (), NO_REQUEST_SECONDS
            return Call(method, number, kind, requests, timeout_seconds=timeout)
        case Kind.CANCELLED:
            delay = rng.choice((0.0, 0.0005, 0.002, 0.01))
            return Call(method, number, kind, requests, cancel_seconds=delay)
    return Call(method, number, kind, requests)


def _make_request(rng: random.Random, method: Method, kind: Kind, words: Vocabulary) -> bytes:
    if kind is Kind.NESTED:
        nested = nest(rng, method.request)
        if nested is not None:
            return _generate(rng, method, words) + nested if rng.random() < 0.5 else nested
    data = _generate(rng, method, words)
    if kind is Kind.MUTATED:
        data = mutate(rng, data, _generate(rng, method, words))
    return data[:MAX_REQUEST_BYTES]


def _generate(rng: random.Random, method: Method, words: Vocabulary) -> bytes:
    message = MessageGenerator(rng, words).make(method.request)
    return message.SerializeToString(deterministic=True)


def _make_metadata(rng: random.Random) -> Metadata:
    """Return odd metadata, mostly with a valid key."""
    authorizations: Sequence[str] = (
        *("", "Bearer", "Bearer ", f"bearer {KEY}", "Bearer wrong", f"Basic {KEY}", KEY),
        *(f"Bearer {KEY} ", f"Bearer  {KEY}", f"Bearer {MARKER}", "Bearer " + "x" * 5_000),
    )
    headers: Sequence[tuple[str, str | bytes]] = (
        ("traceparent", rng.choice(("", "00-0-0-0", "ff-" + "0" * 32, "00-" + "g" * 32))),
        ("tracestate", "=" * rng.choice((1, 600))),
        ("x-odd-bin", rng.randbytes(rng.choice((0, 1, 1_000)))),
        ("x-long", MARKER + "x" * rng.choice((100, 7_000, 9_000, 20_000))),
        ("grpc-tags-bin", rng.randbytes(20)),
        ("grpc-previous-rpc-attempts", rng.choice(("1", "-1", "many"))),
        ("authorization", rng.choice(authorizations)),
    )
    first = (AUTHORIZATION,) if rng.random() < 0.7 else ()
    return (*first, *rng.sample(headers, rng.randrange(1, 4)))
