"""One writer: sends requests over connections of its own, and records what comes of them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import grpc
from akin._errors import decode
from akin._policy import MESSAGE_BYTES
from akin.v1.catalog_service_pb2_grpc import CatalogServiceStub
from akin.v1.interaction_service_pb2_grpc import InteractionServiceStub
from akin.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.texts import COUNT, distinct

from faults.model import ABSENT, Attempt, CatalogContent, Content, Group, Key, Version
from faults.recorder import Recorder

CALL_SECONDS = 30.0
HASTY_SECONDS = 0.01
READY_ATTEMPTS = 300
READY_ATTEMPT_SECONDS = 0.2
OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)

# Reasons with which a server may refuse any request, and has stored nothing then.
TEMPORARY_REASONS = frozenset(
    {
        "NOT_READY",
        "OVERLOADED",
        "STORE_FULL",
        "STORE_UNAVAILABLE",
        "EMBEDDING_UNAVAILABLE",
        "EMBEDDING_REJECTED",
        "TEXT_FAILED",
        "BUDGET_SPENT",
    }
)

# Codes that a bug in the server causes.
BUG_CODES = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
)

# Codes without a reason after which a request may have been stored or not.
UNCERTAIN_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)

# What the message of an error has if the request may have been stored, or was.
POSSIBLY_STORED = ("may have been stored", "was stored")

# A method of a server.
Stub = Callable[..., Any]

Read = Callable[[Any], Sequence[int]]


def read_results(response: Any) -> Sequence[int]:
    """Return the sequence number of each result in the response of an import."""
    return [result.sequence for result in response.results]


def use_directly(channel: grpc.Channel) -> grpc.Channel:
    """Return a channel as it is."""
    return channel


class Stubs:
    """A connection to a server, a context manager.

    Args:
        address: of the server.
        adapt: returns the channel to use in place of the plain one.
    """

    def __init__(
        self, address: str, adapt: Callable[[grpc.Channel], grpc.Channel] = use_directly
    ) -> None:
        self.channel = adapt(grpc.insecure_channel(address, OPTIONS))
        self.recommender = RecommenderServiceStub(self.channel)
        self.catalogs = CatalogServiceStub(self.channel)
        self.interactions = InteractionServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.channel.close()


@dataclass(frozen=True, slots=True)
class Conditions:
    """What writers may rely on.

    `embeds_always`: the server can embed every text at once. `read_clock` returns the time of the
    server in seconds.
    """

    embeds_always: bool = True
    read_clock: Callable[[], float] = time.time


class Writer:
    """Writes with names of its own, and items and interactions that others write too.

    Args:
        number: its number, which its names have.
        seed: of its choices.
        recorder: what all writers share.
        address: the server.
        conditions: what it may rely on.
    """

    def __init__(
        self,
        number: int,
        seed: str,
        recorder: Recorder,
        address: str,
        conditions: Conditions,
    ) -> None:
        self.number = number
        self.name = f"w{number}"
        self.own_catalog = f"own-{number}"
        self.rng = random.Random(seed)
        self.recorder = recorder
        self.conditions = conditions
        self.stubs = Stubs(address)
        self.other_stubs = Stubs(address)
        self.stopped = threading.Event()

    def close(self) -> None:
        """Close the connections."""
        self.stubs.channel.close()
        self.other_stubs.channel.close()

    # ---- choices ----

    def choose_catalog(self) -> str:
        """Return the name of a catalog that exists for sure."""
        key = Key(self.own_catalog, "", "")
        exists = self.own_catalog in self.recorder.model.catalogs
        if exists and self.rng.random() < 0.4 and not self.recorder.is_uncertain(key):
            return self.own_catalog
        return "default"

    def choose_key(self, kind: str, count: int = 40) -> Key:
        """Return a key that only this writer writes."""
        return Key(self.choose_catalog(), kind, f"{self.name}-{self.rng.randrange(count)}")

    def choose_present_key(self, kind: str) -> Key:
        """Return a key that only this writer writes, in most cases one that exists."""
        catalog = self.choose_catalog()
        start = f"{self.name}-"
        keys = [
            key
            for key, version in self.recorder.model.versions.copy().items()
            if (key.catalog, key.kind) == (catalog, kind)
            and key.id.startswith(start)
            and version.content is not None
        ]
        return self.rng.choice(keys) if keys and self.rng.random() < 0.8 else self.choose_key(kind)

    def choose_text(self) -> str:
        """Return a text that the local model distinguishes from others."""
        return distinct(self.rng.randrange(COUNT))

    def choose_deadline(self) -> float:
        """Return a deadline in seconds; sometimes one that passes during the call."""
        return HASTY_SECONDS if self.rng.random() < 0.02 else CALL_SECONDS

    def read_clock(self) -> float:
        """Return the time of the server in seconds."""
        return self.conditions.read_clock()

    def get_version(self, key: Key) -> Version | None:
        """Return the acknowledged version; None if there may be another, or it expires."""
        version = self.recorder.model.versions.get(key, ABSENT)
        expires = version.content is not None and version.content.expire_time_us is not None
        return None if expires or self.recorder.is_uncertain(key) else version

    def get_catalog(self, name: str) -> CatalogContent | None:
        """Return the acknowledged state of a catalog; None if it is absent or uncertain."""
        if self.recorder.is_uncertain(Key(name, "", "")):
            return None
        return self.recorder.model.catalogs.get(name)

    # ---- calls ----

    def call(
        self,
        stub: Stub,
        request: Any,
        attempts: Iterable[Attempt],
        read_sequences: Read,
        *expected_reasons: str,
    ) -> Any:
        """Send a request and record its outcome; return the response, None after an error.

        Args:
            stub: the method.
            request: the request.
            attempts: what the request changes.
            read_sequences: returns the sequence number of each attempt from the response.
            expected_reasons: the reasons with which the server must refuse the request; without
                them it must not refuse it.
        """
        group = self.recorder.begin(type(request).__name__.removesuffix("Request"), attempts)
        try:
            response = stub(request, timeout=self.choose_deadline())
        except grpc.RpcError as exc:
            self.note_error(group, exc, *expected_reasons)
            return None
        self.recorder.store(group, read_sequences(response))
        if expected_reasons:
            self.recorder.report(
                "wrong", group.attempts[0].key, f"{group.method} succeeded: {expected_reasons}"
            )
        return response

    def stream(
        self,
        stub: Stub,
        messages: Sequence[tuple[Any, Sequence[Attempt]]],
        timeout_seconds: float,
        read_sequences: Read = read_results,
        *,
        is_atomic: bool = True,
    ) -> None:
        """Send the messages of an import before their responses are read; record the outcomes.

        Args:
            stub: the method.
            messages: the messages, each with what it changes.
            timeout_seconds: the deadline.
            read_sequences: returns the sequence number of each attempt from a response.
            is_atomic: the server stores all of a message or nothing.
        """
        groups: list[Group] = []

        def send() -> Iterator[Any]:
            for request, attempts in messages:
                method = type(request).__name__.removesuffix("Request")
                groups.append(self.recorder.begin(method, attempts, is_atomic=is_atomic))
                yield request

        answered = 0
        try:
            for response in stub(send(), timeout=timeout_seconds):
                self.recorder.store(groups[answered], read_sequences(response))
                answered += 1
        except grpc.RpcError as exc:
            # Of several messages, those after the one that failed may have been stored.
            if len(groups) == answered + 1:
                self.note_error(groups[answered], exc)
            elif decode(exc).code in BUG_CODES:
                key = groups[answered].attempts[0].key
                self.recorder.report("wrong", key, f"an import failed: {decode(exc)}")

    def note_error(self, group: Group, exc: grpc.RpcError, *expected_reasons: str) -> None:
        """Record that a request failed."""
        error = decode(exc)
        expires = any(
            isinstance(attempt.content, Content) and attempt.content.expire_time_us is not None
            for attempt in group.attempts
        )
        reasons = {*TEMPORARY_REASONS, *expected_reasons}
        if expires:
            reasons.add("INVALID_REQUEST")  # the clock may have jumped beyond the expiry
        if any(words in error.message for words in POSSIBLY_STORED):
            return
        if error.reason in reasons:
            self.recorder.refuse(group)
        elif not error.reason and error.code in UNCERTAIN_CODES:
            if error.code is grpc.StatusCode.UNAVAILABLE:
                self.wait_until_connected()
        else:
            kind = "wrong" if error.code in BUG_CODES else "lost"
            problem = f"{group.method} {group.number} failed: {error} ({error.reason})"
            self.recorder.report(kind, group.attempts[0].key, problem)

    def wait_until_connected(self) -> None:
        """Wait until the server is back, or the writer is stopped."""
        check = health_pb2_grpc.HealthStub(self.stubs.channel).Check  # type: ignore[attr-defined]
        for _ in range(READY_ATTEMPTS):
            if self.stopped.is_set():
                return
            with suppress(grpc.RpcError):
                request = health_pb2.HealthCheckRequest()
                check(request, timeout=READY_ATTEMPT_SECONDS, wait_for_ready=True)
                return
