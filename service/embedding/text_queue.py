"""The texts that wait to be embedded: in order of arrival, those with low priority last."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from service.embedding.embedder import EmbeddingOutcome


@dataclass(slots=True, eq=False)
class TextBatch:
    """The requests that a batch has no outcome of yet, by text.

    `in_flight` are the texts that were sent last; it is None before the first of them are sent.
    """

    requests: dict[str, TextRequest]
    low_priority: bool
    in_flight: Collection[str] | None = None


@dataclass(slots=True, eq=False)
class TextRequest:
    """One distinct text that is queued, or in a batch.

    `waiters` is the number of callers that wait for it.
    """

    text: str
    tokens: int
    low_priority: bool
    alone: bool
    queued_at: float = field(default_factory=time.monotonic)
    context: Context = field(default_factory=copy_context)
    result: asyncio.Future[EmbeddingOutcome] = field(default_factory=asyncio.Future)
    waiters: int = 0
    batch: TextBatch | None = None


class TextQueue:
    """Queued requests, which one task takes; `tokens` is the sum of their tokens."""

    def __init__(self) -> None:
        self.tokens = 0
        self._changed = asyncio.Event()
        self._urgent: OrderedDict[str, TextRequest] = OrderedDict()
        self._low_priority: OrderedDict[str, TextRequest] = OrderedDict()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._low_priority)

    def put(self, request: TextRequest) -> None:
        """Queue a request behind those of its priority."""
        request.batch = None
        self._requests(request)[request.text] = request
        self.tokens += request.tokens
        self.notify()

    def is_queued(self, request: TextRequest) -> bool:
        """Return whether a request waits here."""
        return self._requests(request).get(request.text) is request

    def raise_priority(self, request: TextRequest) -> None:
        """Move a queued request with low priority behind those without it."""
        del self._low_priority[request.text]
        request.low_priority = False
        self._urgent[request.text] = request
        self.notify()

    def peek(self, *, with_low_priority: bool = True) -> TextRequest | None:
        """Return the next request, which stays queued; None if there is none."""
        for requests in (self._urgent, self._low_priority):
            if requests and (with_low_priority or requests is self._urgent):
                return next(iter(requests.values()))
        return None

    def take(self, request: TextRequest) -> None:
        """Remove a queued request."""
        del self._requests(request)[request.text]
        self.tokens -= request.tokens

    def notify(self) -> None:
        """Resume the task that waits for a change."""
        self._changed.set()

    async def wait_for_change(self) -> None:
        """Wait until `notify` is called or a request is put or moved."""
        self._changed.clear()
        await self._changed.wait()

    def _requests(self, request: TextRequest) -> OrderedDict[str, TextRequest]:
        return self._low_priority if request.low_priority else self._urgent
