"""Sends one request within the rate and the budget, and finds out why it failed.

A provider may fail on a batch because it is down, or because of one text: it answers with HTTP 500,
breaks the connection or never responds whenever the text is in a request. So each failure is
followed by a request with a harmless text. If that is embedded, the failure is due to the texts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from service import errors
from service.embedding.embedder import PROBE_TEXT, Embedder, EmbeddingOutcome, Embeddings
from service.embedding.errors import ProviderError, ProviderUnavailable, TextsFailed
from service.embedding.normalization import normalize_batch
from service.embedding.paid_requests import PaidRequests
from service.embedding.paid_sender import PaidSender
from service.embedding.rate_control import RateController
from service.telemetry import call_context


class RequestObserver(NamedTuple):
    """Receives the duration in seconds of each request that succeeded or failed, for metrics."""

    succeeded: Callable[[float], object]
    failed: Callable[[float], object]


def is_no_query(_text: str) -> bool:
    """Return False: all texts are of items."""
    return False


class RequestSender:
    """Sends requests to one embedder.

    Args:
        embedder: the model.
        rate_controller: limits the requests, and stops them while the provider is down.
        paid_requests: records the requests and limits their cost; None if the model is free.
        observer: receives the duration of each request.
    """

    def __init__(
        self,
        embedder: Embedder,
        rate_controller: RateController,
        paid_requests: PaidRequests | None,
        observer: RequestObserver | None,
    ) -> None:
        self._embedder = embedder
        self._rate_controller = rate_controller
        self._observer = observer
        self._paid: PaidSender | None = None
        if paid_requests is not None:
            self._paid = PaidSender(paid_requests, embedder, rate_controller.find_limit)

    async def send(
        self,
        texts: Sequence[str],
        timeout_seconds: float | None = None,
        is_query: Callable[[str], bool] = is_no_query,
        *,
        low_priority: bool = False,
    ) -> list[EmbeddingOutcome]:
        """Send one request; return the outcome of each text.

        Args:
            texts: distinct texts.
            timeout_seconds: of the request, without the wait for the budget.
            is_query: returns whether a text is of a query and not of an item.
            low_priority: let paid requests without low priority of all processes go first.

        Raises:
            BudgetSpent: today's budget is spent.
            EmbeddingUnavailable: the vectors have the wrong shape.
            TextsFailed: the request failed, but the provider embeds a harmless text.
            ProviderError: the request failed.
            AkinError: the request cannot be recorded.
        """
        send = partial(self._observe, timeout_seconds=timeout_seconds)
        async with self._rate_controller.track_request() as tracked:
            try:
                if self._paid is not None:
                    outcomes, tracked.is_sent = await self._paid.send(
                        texts, is_query, send, low_priority=low_priority
                    )
                    return outcomes
                embeddings = await send(texts)
            except ProviderUnavailable as exc:
                raise await self._find_cause(exc) from exc
        return normalize_batch(embeddings, len(texts), self._embedder.space.dimensions)

    async def send_probe(self, text: str) -> None:
        """Send a request with a harmless text, to check the model.

        Raises:
            ProviderError, AkinError: as `send` raises them, without a search for the cause.
        """
        async with self._rate_controller.track_request():
            await self._probe(text)

    async def drain(self) -> None:
        """Wait for responses that are paid for, for a few seconds at most."""
        if self._paid is not None:
            await self._paid.drain()

    async def _find_cause(self, failure: ProviderUnavailable) -> ProviderError:
        """Return TextsFailed if the provider embeds a harmless text, or else the failure itself."""
        if failure.throttled:
            return failure
        try:
            # A new text each time, or a cache in front of the provider could answer in its place.
            await self._probe(f"{PROBE_TEXT} {time.time_ns()}")
        except (ProviderError, errors.AkinError):
            return failure
        return TextsFailed(failure)

    async def _probe(self, text: str) -> None:
        send = partial(self._observe, timeout_seconds=None)
        if self._paid is not None:
            await self._paid.send_probe(text, send)
        else:
            await send([text])

    async def _observe(self, texts: Sequence[str], timeout_seconds: float | None) -> Embeddings:
        started = time.perf_counter()
        failed = True
        try:
            with call_context.Stage(call_context.REQUEST):
                async with asyncio.timeout(timeout_seconds):
                    embeddings = await self._embedder.embed(texts)
            failed = False
        except TimeoutError:
            raise ProviderUnavailable(
                "the provider did not respond in time", timed_out=True
            ) from None
        finally:
            if self._observer is not None:
                observe = self._observer.failed if failed else self._observer.succeeded
                observe(time.perf_counter() - started)
        return embeddings
