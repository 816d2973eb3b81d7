"""The bounded batch queue in front of an embedder.

One task owns the queue. It sends each text once, in batches, as fast as the rate controller allows.
While a batch is in flight the next one fills up, so that batches grow with the load and a single
text is sent without delay. A text that no caller waits for any more is never sent.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from service import errors
from service.embedding.embedder import EmbeddedText, Embedder, EmbeddingOutcome
from service.embedding.errors import EmbeddingProblem, TextLeased
from service.embedding.paid_requests import PaidRequests
from service.embedding.rate_control import RateController
from service.embedding.request_sender import RequestObserver
from service.embedding.retries import RetryingEmbedder
from service.embedding.token_estimates import estimate_tokens
from service.telemetry import call_context
from service.telemetry.call_context import deadline

# At 5,000 texts a second the last queued text waits 4 s, about as long as callers do.
MAX_QUEUED_TEXTS = 20_000

# Bounds the memory of the queue at about 128 MiB.
MAX_QUEUED_TOKENS = 32 * 1024 * 1024

# A caller stops waiting this long before its deadline, to have time to store and send the result.
RESPONSE_MARGIN_SECONDS = 0.5

# The interval of checks whether another process has the vector of a text that it embeds.
LEASE_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class _TextRequest:
    """One distinct text that is queued or in flight.

    `waiters` is the number of callers that wait for it, and `number` its place in the queue.
    """

    text: str
    tokens: int
    low_priority: bool
    alone: bool
    is_query: bool
    queued_at: float = field(default_factory=time.monotonic)
    context: Context = field(default_factory=copy_context)
    result: asyncio.Future[EmbeddingOutcome] = field(default_factory=asyncio.Future)
    waiters: int = 0
    number: int = 0


class Batcher:
    """Embeds texts through `embedder` while `run` runs; see `RetryingEmbedder` for the others."""

    def __init__(
        self,
        embedder: Embedder,
        paid_requests: PaidRequests | None = None,
        observer: RequestObserver | None = None,
    ) -> None:
        self.limits = embedder.limits
        self.rate_controller = RateController(embedder.limits.concurrency)
        self._embedder = RetryingEmbedder(embedder, self.rate_controller, paid_requests, observer)
        self._requests: dict[str, _TextRequest] = {}
        self._queue: asyncio.PriorityQueue[tuple[bool, int, _TextRequest]] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._queued_tokens = 0

    async def run(self) -> None:
        """Send batches until cancelled; callers that still wait then get NotReady."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    is_only_batch = await self.rate_controller.acquire()
                    first = (await self._queue.get())[-1]
                    batch = await self._fill_batch(first, is_only_batch=is_only_batch)
                    for request in batch:
                        waited = time.monotonic() - request.queued_at
                        request.context.run(call_context.add_seconds, call_context.QUEUE, waited)
                    # In a trace, the batch belongs to the call that queued the first text.
                    group.create_task(self._send(batch), context=first.context)
        finally:
            for request in self._requests.values():
                _complete(request, errors.NotReady("the service is shutting down"))
            await self._embedder.drain()

    @property
    def problem(self) -> EmbeddingProblem:
        """Why the embedder's last request failed; its fields are empty if it succeeded."""
        return self.rate_controller.problem

    @property
    def queued_texts(self) -> int:
        """The number of texts that wait to be sent."""
        return self._queue.qsize()

    async def embed(
        self,
        texts: Sequence[str],
        *,
        low_priority: bool = False,
        alone: bool = False,
        queries: bool = False,
    ) -> list[EmbeddingOutcome]:
        """Embed one or more distinct texts, and return the vector or the error of each.

        Args:
            texts: what to embed.
            low_priority: queue behind texts without low priority, as imports do.
            alone: send each text in a request of its own, once: the provider failed on it before.
            queries: the texts are of queries, and not of items.

        Raises:
            Overloaded: the queue is full; none of the texts was queued.
        """
        new_tokens = {text: estimate_tokens(text) for text in texts if text not in self._requests}
        tokens = self._queued_tokens + sum(new_tokens.values())
        is_full = (
            self._queue.qsize() + len(new_tokens) > MAX_QUEUED_TEXTS or tokens > MAX_QUEUED_TOKENS
        )
        # An empty queue accepts a text of any length, so that none is refused forever.
        if is_full and self._requests:
            raise errors.Overloaded("too many texts wait to be embedded")
        for text, count in new_tokens.items():
            self._enqueue(_TextRequest(text, count, low_priority, alone, queries))
        requests = [self._requests[text] for text in texts]
        for request in requests:
            request.waiters += 1
            request.is_query = request.is_query and queries
        end = deadline.get()
        timeout = (
            None if end is None else max(0.0, end - RESPONSE_MARGIN_SECONDS - time.monotonic())
        )
        try:
            # Unlike gather, wait does not cancel the futures when this caller is cancelled.
            await asyncio.wait([request.result for request in requests], timeout=timeout)
            return [_get_outcome(request) for request in requests]
        finally:
            for request in requests:
                request.waiters -= 1
                self._forget_if_complete(request)

    def _enqueue(self, request: _TextRequest) -> None:
        request.number = next(self._numbers)
        self._requests[request.text] = request
        self._put(request)
        self._queued_tokens += request.tokens

    def _put(self, request: _TextRequest) -> None:
        self._queue.put_nowait((request.low_priority, request.number, request))

    async def _fill_batch(self, first: _TextRequest, *, is_only_batch: bool) -> list[_TextRequest]:
        """Return a batch that starts with `first`, once it is full or `first` has waited enough."""
        linger = self.limits.linger_seconds if is_only_batch else self.limits.busy_linger_seconds
        batch, tokens = [first], first.tokens
        while not first.alone and len(batch) < self._embedder.batch_texts:
            request = await self._dequeue(first.queued_at + linger)
            if request is None:
                break
            if not self._fits(request, first, tokens):
                self._put(request)  # back to its place, for the next batch
                break
            batch.append(request)
            tokens += request.tokens
        self._queued_tokens -= tokens
        return batch

    def _fits(self, request: _TextRequest, first: _TextRequest, tokens: int) -> bool:
        """Return whether a request may join a batch that starts with `first` and has `tokens`.

        Texts of imports have batches of their own: a text that makes the provider hang must not
        delay a caller that waits for another one.
        """
        is_together = not request.alone and request.low_priority == first.low_priority
        return is_together and tokens + request.tokens <= self.limits.tokens

    async def _dequeue(self, end: float) -> _TextRequest | None:
        """Return the next request, waiting for it until the time `end`; None if there is none."""
        if not self._queue.empty():
            return self._queue.get_nowait()[-1]
        timeout = end - time.monotonic()
        if timeout <= 0:
            return None
        try:
            async with asyncio.timeout(timeout):
                return (await self._queue.get())[-1]
        except TimeoutError:
            return None

    async def _send(self, batch: list[_TextRequest]) -> None:
        requests = {request.text: request for request in batch}
        leased: list[_TextRequest] = []
        failure: Exception | None = None
        try:
            async for outcomes in self._embed(requests, alone=batch[0].alone):
                # At once: the other texts of the batch may take much longer.
                for text, outcome in outcomes.items():
                    request = requests.pop(text)
                    if isinstance(outcome, TextLeased):
                        leased.append(request)
                    else:
                        self._finish(request, outcome)
        except Exception as exc:  # noqa: BLE001  (raised to the callers; the queue must go on)
            failure = exc
        finally:
            await self.rate_controller.release()
        # A text was skipped because no caller waited for it; since then, a caller may have joined.
        self._queue_again(requests.values(), failure)
        if leased:
            await asyncio.sleep(LEASE_SECONDS)
            self._queue_again(leased)

    def _embed(
        self, requests: Mapping[str, _TextRequest], *, alone: bool
    ) -> AsyncIterator[Mapping[str, EmbeddingOutcome]]:
        """Embed the texts of `requests`, from which the caller removes those with an outcome."""

        def is_awaited(text: str) -> bool:
            return text in requests and requests[text].waiters > 0

        def is_query(text: str) -> bool:
            return text in requests and requests[text].is_query

        return self._embedder.embed(list(requests), is_awaited, is_query, alone=alone)

    def _queue_again(
        self, requests: Iterable[_TextRequest], failure: Exception | None = None
    ) -> None:
        """Queue requests that a caller waits for, unless they failed, and finish the others."""
        for request in requests:
            if failure is None and request.waiters:
                self._enqueue(request)
            else:
                self._finish(request, failure or errors.NotReady("no caller waits for the text"))

    def _finish(self, request: _TextRequest, outcome: EmbeddingOutcome | Exception) -> None:
        _complete(request, outcome)
        self._forget_if_complete(request)

    def _forget_if_complete(self, request: _TextRequest) -> None:
        # A request is shared until its last caller has the vector and can cache it.
        if request.result.done() and not request.waiters:
            self._requests.pop(request.text, None)


def _complete(request: _TextRequest, outcome: EmbeddingOutcome | Exception) -> None:
    if request.result.done():
        return
    if isinstance(outcome, EmbeddedText | errors.AkinError):
        request.result.set_result(outcome)
    else:
        request.result.set_exception(outcome)
        request.result.exception()  # marks it as retrieved, because all callers may be gone


def _get_outcome(request: _TextRequest) -> EmbeddingOutcome:
    if request.result.done():
        return request.result.result()
    return errors.EmbeddingUnavailable("the text was not embedded within the deadline")
