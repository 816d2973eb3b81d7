"""The queue in front of an embedder: single-flight, bounded, in batches at the embedder's pace.

One task owns the queue. While a batch is under way the next one gathers, so that batches grow with
the load and a lone text does not wait. A text that nobody waits for any more is never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from service import errors
from service.embedding.base import Embedder, Embeddings, Vector

QUEUED_TEXTS = 20_000
"""At 5,000 texts a second the last one in waits 4 s, about as long as callers do."""

QUEUED_CHARACTERS = 64 * 1024 * 1024
"""What waits may take at most some 256 MiB of memory."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's unit vector and its share of what the batch took."""

    vector: Vector
    prompt_tokens: float = 0.0
    cost_usd: float = 0.0


@dataclass(slots=True)
class _Flight:
    """One text on its way, and how many callers wait for it."""

    text: str
    result: asyncio.Future[Embedded] = field(default_factory=asyncio.Future)
    waiting: int = 0


class Batcher:
    """Embeds texts through `embedder` while `run` runs."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._flights: dict[str, _Flight] = {}
        self._queue: asyncio.Queue[_Flight] = asyncio.Queue()
        self._queued_characters = 0

    async def run(self) -> None:
        """Works until cancelled; then whoever still waits gets NotReady."""
        try:
            while True:
                await self._send(await self._next_batch())
        finally:
            for flight in self._flights.values():
                _fail(flight, errors.NotReady("the service is shutting down"))

    async def embed(self, texts: Sequence[str]) -> list[Embedded | errors.AkinError]:
        """Embeds one or more distinct texts; each gets its vector or its own error.

        Raises:
            Overloaded: too many texts wait already; none of these was taken.
        """
        new = [text for text in texts if text not in self._flights]
        characters = self._queued_characters + sum(map(len, new))
        # A lone long text is always taken, so that it cannot be refused for ever.
        full = self._queue.qsize() + len(new) > QUEUED_TEXTS or characters > QUEUED_CHARACTERS
        if full and self._flights:
            raise errors.Overloaded("too many texts wait to be embedded")
        flights = [self._board(text) for text in texts]
        try:
            # Unlike gather, wait leaves the futures alone when this caller is cancelled.
            await asyncio.wait([flight.result for flight in flights])
            return [_outcome(flight.result) for flight in flights]
        finally:
            for flight in flights:
                flight.waiting -= 1
                self._forget_landed(flight)

    def _board(self, text: str) -> _Flight:
        flight = self._flights.get(text)
        if flight is None:
            flight = self._flights[text] = _Flight(text)
            self._queue.put_nowait(flight)
            self._queued_characters += len(text)
        flight.waiting += 1
        return flight

    async def _next_batch(self) -> list[_Flight]:
        """The texts that somebody waits for; may be empty."""
        batch = [await self._queue.get()]
        while len(batch) < self._embedder.batch_texts and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        self._queued_characters -= sum(len(flight.text) for flight in batch)
        for flight in batch:
            if not flight.waiting:
                del self._flights[flight.text]
        return [flight for flight in batch if flight.waiting]

    async def _send(self, batch: list[_Flight]) -> None:
        if not batch:
            return
        outcomes: Sequence[Embedded | Exception]
        try:
            embeddings = await self._embedder.embed([flight.text for flight in batch])
            outcomes = _checked(embeddings, len(batch), self._embedder.space.dimensions)
        except Exception as exc:  # noqa: BLE001  (it is the outcome of this batch; the task lives on)
            outcomes = [exc for _ in batch]
        for flight, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                _fail(flight, outcome)
            else:
                flight.result.set_result(outcome)
            self._forget_landed(flight)

    def _forget_landed(self, flight: _Flight) -> None:
        # Until its last caller has the vector, and can remember it, others still share the flight.
        if flight.result.done() and not flight.waiting:
            self._flights.pop(flight.text, None)


def _checked(
    embeddings: Embeddings, texts: int, dimensions: int
) -> Sequence[Embedded | errors.AkinError]:
    """Normalises the vectors of a batch after checking their number, width and values."""
    vectors = np.asarray(embeddings.vectors, np.float32)
    if vectors.shape != (texts, dimensions):
        raise errors.EmbeddingUnavailable(
            f"the embedder answered {vectors.shape} instead of {(texts, dimensions)}"
        )
    if not np.isfinite(vectors).all():
        raise errors.EmbeddingUnavailable("the embedder answered with numbers that are not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    tokens, cost = embeddings.prompt_tokens / texts, embeddings.cost_usd / texts
    return [
        Embedded(unit, tokens, cost)
        if length > 0
        else errors.TextRejected("has no word that the embedding model knows")
        for unit, length in zip(units, lengths[:, 0].tolist(), strict=True)
    ]


def _fail(flight: _Flight, error: Exception) -> None:
    if not flight.result.done():
        flight.result.set_exception(error)
        flight.result.exception()  # its callers may have left, and then nobody looks at it


def _outcome(result: asyncio.Future[Embedded]) -> Embedded | errors.AkinError:
    exc = result.exception()
    if exc is None:
        return result.result()
    if isinstance(exc, errors.AkinError):
        return exc
    raise exc
