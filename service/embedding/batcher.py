"""The bounded batch queue in front of an embedder.

One task owns the queue. It sends each text once, in batches, as fast as the rate controller allows.
While a batch is in flight the next one fills up, so that batches grow with the load and a single
text is sent without delay. A text that no caller waits for any more is never sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import partial

from service import errors
from service.embedding.embedder import EmbeddedText, Embedder, EmbeddingOutcome
from service.embedding.errors import EmbeddingProblem, TextLeased
from service.embedding.paid_requests import PaidRequests
from service.embedding.rate_control import RateController
from service.embedding.request_sender import RequestObserver
from service.embedding.retries import RetryingEmbedder
from service.embedding.text_queue import TextBatch, TextQueue, TextRequest
from service.embedding.token_estimates import estimate_tokens
from service.telemetry import call_context
from service.telemetry.call_context import deadline

# At 5,000 texts a second the last queued text waits 4 s, about as long as callers do.
MAX_QUEUED_TEXTS = 20_000

# Bounds the memory of the queue at about 128 MiB.
MAX_QUEUED_TOKENS = 32 * 1024 * 1024

# Messages of all imports that are embedded at once. It is well below the capacity of the queue, so
# that imports wait for each other and are not refused.
EMBEDDED_MESSAGES = 4

# A caller stops waiting this long before its deadline, to have time to store and send the result.
RESPONSE_MARGIN_SECONDS = 0.5

# The interval of checks whether another process has the vector of a text that it embeds.
LEASE_SECONDS = 0.05


class Batcher:
    """Embeds texts through `embedder` while `run` runs; see `RetryingEmbedder` for the others."""

    def __init__(
        self,
        embedder: Embedder,
        paid_requests: PaidRequests | None = None,
        observer: RequestObserver | None = None,
    ) -> None:
        self.limits = embedder.limits
        self._is_local = embedder.space.is_local
        self.rate_controller = RateController(embedder.limits.concurrency)
        self.import_slots = asyncio.Semaphore(EMBEDDED_MESSAGES)
        self._embedder = RetryingEmbedder(embedder, self.rate_controller, paid_requests, observer)
        self._requests: dict[str, TextRequest] = {}
        self._queue = TextQueue()
        self._has_ended = False

    async def run(self) -> None:
        """Send batches until cancelled; callers that still wait then get NotReady."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    is_only_batch = await self.rate_controller.acquire()
                    first = await self._take_first()
                    low_priority = first.low_priority  # it may be raised while the batch fills
                    requests = await self._fill_batch(first, is_only_batch=is_only_batch)
                    for request in requests:
                        waited = time.monotonic() - request.queued_at
                        request.context.run(call_context.add_seconds, call_context.QUEUE, waited)
                    batch = TextBatch({request.text: request for request in requests}, low_priority)
                    # In a trace, the batch belongs to the call that queued the first text.
                    group.create_task(self._send(batch, alone=first.alone), context=first.context)
        finally:
            self._has_ended = True
            for request in self._requests.values():
                _complete(request, _shutting_down())
            await self._embedder.drain()

    @property
    def problem(self) -> EmbeddingProblem:
        """Why the embedder's last request failed; its fields are empty if it succeeded."""
        return self.rate_controller.problem

    @property
    def queued_texts(self) -> int:
        """The number of texts that wait to be sent."""
        return len(self._queue)

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
            NotReady: `run` has ended, so that nothing would send the texts.
        """
        if self._has_ended:
            raise _shutting_down()
        new_tokens = {text: estimate_tokens(text) for text in texts if text not in self._requests}
        tokens = self._queue.tokens + sum(new_tokens.values())
        is_full = (
            len(self._queue) + len(new_tokens) > MAX_QUEUED_TEXTS or tokens > MAX_QUEUED_TOKENS
        )
        # An empty queue accepts a text of any length, so that none is refused forever.
        if is_full and self._requests:
            raise errors.Overloaded("too many texts wait to be embedded")
        for text, count in new_tokens.items():
            self._requests[text] = TextRequest(text, count, low_priority, alone, queries)
            self._queue.put(self._requests[text])
        requests = [self._requests[text] for text in texts]
        for request in requests:
            request.waiters += 1
            request.is_query = request.is_query and queries
            if request.low_priority and not low_priority:
                self._raise_priority(request)
        end = deadline.get()
        timeout = (
            None if end is None else max(0.0, end - RESPONSE_MARGIN_SECONDS - time.monotonic())
        )
        try:
            with nullcontext() if self._is_local else call_context.suspended():
                # Unlike gather, wait does not cancel the futures when this caller is cancelled.
                await asyncio.wait([request.result for request in requests], timeout=timeout)
            return [_get_outcome(request) for request in requests]
        finally:
            for request in requests:
                request.waiters -= 1
                self._forget_if_complete(request)

    def _raise_priority(self, request: TextRequest) -> None:
        """Embed a text before those with low priority: a caller without it waits as well."""
        if self._queue.is_queued(request):
            self._queue.raise_priority(request)
            return
        request.low_priority = False
        if request.batch is not None and request.batch.in_flight is not None:
            # What is in flight may get its vector any moment, and must not be paid for twice.
            self._requeue_raised(request.batch, request.batch.in_flight)

    def _requeue_raised(self, batch: TextBatch, in_flight: Collection[str] = ()) -> None:
        """Take the texts whose priority was raised out of a batch, where they may wait long."""
        if not batch.low_priority or self.rate_controller.limit == 1:
            return  # with a limit of one, the next batch starts after the end of this one
        for request in tuple(batch.requests.values()):
            if not request.low_priority and request.text not in in_flight:
                del batch.requests[request.text]
                self._queue.put(request)

    async def _take_first(self) -> TextRequest:
        """Wait for the request that begins the next batch."""
        while True:
            request = self._queue.peek(
                with_low_priority=self.rate_controller.has_room_for_low_priority
            )
            if request is not None:
                self._queue.take(request)
                return request
            await self._queue.wait_for_change()

    async def _fill_batch(self, first: TextRequest, *, is_only_batch: bool) -> list[TextRequest]:
        """Return a batch that starts with `first`, once it is full or `first` has waited enough."""
        linger = self.limits.linger_seconds if is_only_batch else self.limits.busy_linger_seconds
        low_priority = first.low_priority  # it may be raised while the batch fills
        batch, tokens = [first], first.tokens
        while not first.alone and len(batch) < self._embedder.batch_texts:
            request = await self._wait_for_next(first.queued_at + linger)
            if request is None or not self._fits(request, tokens, low_priority=low_priority):
                break
            self._queue.take(request)
            batch.append(request)
            tokens += request.tokens
        return batch

    def _fits(self, request: TextRequest, tokens: int, *, low_priority: bool) -> bool:
        """Return whether a request may join a batch that has `tokens` and a priority.

        Texts of imports have batches of their own: a text that makes the provider hang must not
        delay a caller that waits for another one.
        """
        is_together = not request.alone and request.low_priority == low_priority
        return is_together and tokens + request.tokens <= self.limits.tokens

    async def _wait_for_next(self, end: float) -> TextRequest | None:
        """Return the next request, waiting for it until the time `end`; None if there is none."""
        timeout = end - time.monotonic()
        if not self._queue and timeout > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while not self._queue:
                        await self._queue.wait_for_change()
        return self._queue.peek()

    async def _send(self, batch: TextBatch, *, alone: bool) -> None:
        for request in batch.requests.values():
            request.batch = batch
        leased: list[TextRequest] = []
        failure: Exception | None = None
        try:
            async for outcomes in self._embedder.embed(
                list(batch.requests),
                partial(self._choose, batch),
                batch.is_query,
                alone=alone,
                low_priority=batch.low_priority,
            ):
                # At once: the other texts of the batch may take much longer.
                for text in outcomes.keys() & batch.requests.keys():
                    request = batch.requests.pop(text)
                    if isinstance(outcomes[text], TextLeased):
                        leased.append(request)
                    else:
                        self._finish(request, outcomes[text])
        except Exception as exc:  # noqa: BLE001  (raised to the callers; the queue must go on)
            failure = exc
        finally:
            await self.rate_controller.release()
            self._queue.notify()
        # A text was skipped because no caller waited for it; since then, a caller may have joined.
        self._queue_again(batch.requests.values(), failure)
        if leased:
            await asyncio.sleep(LEASE_SECONDS)
            self._queue_again(leased)

    def _queue_again(
        self, requests: Iterable[TextRequest], failure: Exception | None = None
    ) -> None:
        """Queue requests that a caller waits for, unless they failed, and finish the others."""
        for request in requests:
            if failure is None and request.waiters:
                self._queue.put(request)
            else:
                self._finish(request, failure or errors.NotReady("no caller waits for the text"))

    def _choose(self, batch: TextBatch, texts: Sequence[str]) -> list[str]:
        """Return those of some texts of a batch that are to be sent now."""
        if batch.in_flight is not None:
            self._requeue_raised(batch)
        requests = batch.requests
        chosen = [text for text in texts if text in requests and requests[text].waiters]
        batch.in_flight = chosen
        return chosen

    def _finish(self, request: TextRequest, outcome: EmbeddingOutcome | Exception) -> None:
        _complete(request, outcome)
        self._forget_if_complete(request)

    def _forget_if_complete(self, request: TextRequest) -> None:
        # A request is shared until its last caller has the vector and can cache it.
        if request.result.done() and not request.waiters:
            self._requests.pop(request.text, None)


def _shutting_down() -> errors.NotReady:
    return errors.NotReady("the service is shutting down")


def _complete(request: TextRequest, outcome: EmbeddingOutcome | Exception) -> None:
    if request.result.done():
        return
    if isinstance(outcome, EmbeddedText | errors.AkinError):
        request.result.set_result(outcome)
    else:
        request.result.set_exception(outcome)
        request.result.exception()  # marks it as retrieved, because all callers may be gone


def _get_outcome(request: TextRequest) -> EmbeddingOutcome:
    if request.result.done():
        return request.result.result()
    return errors.EmbeddingUnavailable("the text was not embedded within the deadline")
