"""A loopback provider that records which process pays for which text."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from support.provider import Reply, ScriptedProvider

from service.embedding.embedder import PROBE_TEXT

# Long enough that kills meet requests under way.
RESPONSE_SECONDS = 0.03

# A process needs this time to store the vectors that have arrived.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Payment:
    """One text of one request: the key of the process, and the times of request and response."""

    key: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """Numbers of texts: all, those paid for twice, and those repeated after a kill.

    Attributes:
        texts: the distinct texts.
        repeated: requests for a text again whose former request a killed process had under way.
        doubled: other requests for a text again.
        examples: a few of the doubled texts with their requests.
    """

    texts: int
    repeated: int
    doubled: int
    examples: tuple[str, ...]


class PaymentProvider(ScriptedProvider):
    """The provider; processes have API keys of their own, by which it recognizes them."""

    def __init__(self) -> None:
        super().__init__()
        self._payments: defaultdict[str, list[Payment]] = defaultdict(list)
        self._lock = threading.Lock()
        self._never = threading.Event()

    def reply(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Reply | None:
        """Record who asks for which texts, and return the reply."""
        begin = time.monotonic()
        self._never.wait(RESPONSE_SECONDS)
        reply = super().reply(request, headers)
        payment = Payment(headers["authorization"], begin, time.monotonic())
        with self._lock:
            for text in request["input"]:
                if not text.startswith(PROBE_TEXT):
                    self._payments[text].append(payment)
        return reply

    def report(self, kill_times: Mapping[str, float]) -> PaymentReport:
        """Count what was paid for more than once.

        Args:
            kill_times: when processes were killed, by their API keys.
        """
        repeated, examples = 0, []
        with self._lock:
            for text, payments in self._payments.items():
                ordered = sorted(payments, key=lambda payment: payment.begin)
                for former in ordered[:-1]:
                    killed = kill_times.get(former.key.removeprefix("Bearer "))
                    if killed is not None and former.begin <= killed <= former.end + SETTLE_SECONDS:
                        repeated += 1
                    else:
                        examples.append(f"{text}: {ordered}")
            return PaymentReport(len(self._payments), repeated, len(examples), tuple(examples[:5]))
