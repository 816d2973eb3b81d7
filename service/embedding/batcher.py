"""The bounded queue in front of an embedder: each text once, in batches, at a controlled rate.

One task owns the queue. While a batch is under way the next one gathers, so that batches grow with
the load and a lone text does not wait. A text that nobody waits for any more is never sent.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from service import errors
from service.embedding.embedder import Embedded, Embedder, estimated_tokens
from service.embedding.rate_control import RateController
from service.embedding.retries import Delivery, Outcome
from service.telemetry import call_context
from service.telemetry.call_context import deadline

QUEUED_TEXTS = 20_000
"""At 5,000 texts a second the last one in waits 4 s, about as long as callers do."""

QUEUED_TOKENS = 32 * 1024 * 1024
"""What waits may take at most some 128 MiB of memory."""

ANSWER_SECONDS = 0.5
"""A caller leaves so long before its deadline, for there is an answer to be stored and sent."""


@dataclass(slots=True, eq=False)
class _Flight:
    """One text on its way, and how many callers wait for it."""

    text: str
    tokens: int
    patient: bool
    queued_at: float = field(default_factory=time.monotonic)
    context: Context = field(default_factory=copy_context)
    result: asyncio.Future[Outcome] = field(default_factory=asyncio.Future)
    waiting: int = 0


class Batcher:
    """Embeds texts through `embedder` while `run` runs."""

    def __init__(self, embedder: Embedder) -> None:
        self.limits = embedder.limits
        self.rate_controller = RateController(embedder.limits.concurrency)
        self._delivery = Delivery(embedder, self.rate_controller)
        self._flights: dict[str, _Flight] = {}
        self._queue: asyncio.PriorityQueue[tuple[bool, int, _Flight]] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._queued_tokens = 0
        self._left_over: _Flight | None = None

    async def run(self) -> None:
        """Works until cancelled; then whoever still waits gets NotReady."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self.rate_controller.take()
                    first = self._left_over or (await self._queue.get())[-1]
                    self._left_over = None
                    batch = await self._gather(first)
                    for flight in batch:
                        waited = time.monotonic() - flight.queued_at
                        flight.context.run(call_context.note, call_context.QUEUE, waited)
                    # In a trace, the request belongs to the call whose text came first.
                    group.create_task(self._send(batch), context=first.context)
        finally:
            for flight in self._flights.values():
                _resolve(flight, errors.NotReady("the service is shutting down"))

    @property
    def queued(self) -> int:
        """How many texts wait to be sent."""
        return self._queue.qsize()

    async def embed(self, texts: Sequence[str], *, patient: bool = False) -> list[Outcome]:
        """Embeds one or more distinct texts; each gets its vector or its own error.

        Args:
            texts: what to embed.
            patient: let others go first, as imports do, for nobody looks at a screen meanwhile.

        Raises:
            Overloaded: too many texts wait already; none of these was taken.
        """
        new = [text for text in texts if text not in self._flights]
        tokens = self._queued_tokens + sum(map(estimated_tokens, new))
        # A lone long text is always taken, so that it cannot be refused for ever.
        full = self._queue.qsize() + len(new) > QUEUED_TEXTS or tokens > QUEUED_TOKENS
        if full and self._flights:
            raise errors.Overloaded("too many texts wait to be embedded")
        flights = [self._board(text, patient=patient) for text in texts]
        end = deadline.get()
        patience = None if end is None else max(0.0, end - ANSWER_SECONDS - time.monotonic())
        try:
            # Unlike gather, wait leaves the futures alone when this caller is cancelled.
            await asyncio.wait([flight.result for flight in flights], timeout=patience)
            return [_outcome(flight) for flight in flights]
        finally:
            for flight in flights:
                flight.waiting -= 1
                self._forget_landed(flight)

    def _board(self, text: str, *, patient: bool) -> _Flight:
        flight = self._flights.get(text)
        if flight is None:
            flight = self._flights[text] = _Flight(text, estimated_tokens(text), patient)
            self._put(flight)
        flight.waiting += 1
        return flight

    def _put(self, flight: _Flight) -> None:
        self._queue.put_nowait((flight.patient, next(self._numbers), flight))
        self._queued_tokens += flight.tokens

    async def _gather(self, first: _Flight) -> list[_Flight]:
        """The batch that starts with `first`: full, or as long as its first text can wait."""
        alone = self.rate_controller.under_way == 1
        patience = self.limits.linger_seconds if alone else self.limits.gather_seconds
        batch, tokens = [first], first.tokens
        while len(batch) < self._delivery.batch_texts:
            flight = await self._next(first.queued_at + patience)
            if flight is None:
                break
            if tokens + flight.tokens > self.limits.tokens:
                self._left_over = flight
                break
            batch.append(flight)
            tokens += flight.tokens
        self._queued_tokens -= tokens
        return batch

    async def _next(self, end: float) -> _Flight | None:
        """The next text in the queue, if there is one before `end`."""
        if not self._queue.empty():
            return self._queue.get_nowait()[-1]
        left = end - time.monotonic()
        if left <= 0:
            return None
        try:
            async with asyncio.timeout(left):
                return (await self._queue.get())[-1]
        except TimeoutError:
            return None

    async def _send(self, batch: list[_Flight]) -> None:
        flights = {flight.text: flight for flight in batch}
        outcomes: Mapping[str, Outcome | Exception]
        try:
            outcomes = await self._delivery.deliver(
                list(flights), lambda text: flights[text].waiting > 0
            )
        except Exception as exc:  # noqa: BLE001  (the callers get it; the queue lives on)
            outcomes = dict.fromkeys(flights, exc)
        finally:
            await self.rate_controller.give_back()
        for text, flight in flights.items():
            if text not in outcomes and flight.waiting:
                # Dropped because nobody waited, and then somebody came.
                self._put(flight)
                continue
            _resolve(flight, outcomes.get(text, errors.NotReady("nobody waited for the text")))
            self._forget_landed(flight)

    def _forget_landed(self, flight: _Flight) -> None:
        # Until its last caller has the vector, and can remember it, others still share the flight.
        if flight.result.done() and not flight.waiting:
            self._flights.pop(flight.text, None)


def _resolve(flight: _Flight, outcome: Outcome | Exception) -> None:
    if flight.result.done():
        return
    if isinstance(outcome, Embedded | errors.AkinError):
        flight.result.set_result(outcome)
    else:
        flight.result.set_exception(outcome)
        flight.result.exception()  # its callers may have left, and then nobody looks at it


def _outcome(flight: _Flight) -> Outcome:
    if flight.result.done():
        return flight.result.result()
    return errors.EmbeddingUnavailable("the text was not embedded within the deadline")
