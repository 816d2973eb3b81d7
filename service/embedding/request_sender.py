"""Sends one request within the rate and the budget, and finds out why it failed.

A provider may fail on a batch because it is down, or because of one text: it answers with HTTP 500,
breaks the connection or never responds whenever the text is in a request. So each failure is
followed by a request with a harmless text. If that is embedded, the failure is due to the texts.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from service import errors
from service.domain.usage import TokenUsage
from service.embedding.budget import Budget
from service.embedding.embedder import PROBE_TEXT, EmbeddedText, Embedder, Embeddings
from service.embedding.errors import NO_VECTOR, ProviderError, ProviderUnavailable, TextsFailed
from service.embedding.rate_control import RateController
from service.embedding.token_estimates import estimate_tokens
from service.telemetry import call_context


class RequestObserver(NamedTuple):
    """Receives the duration in seconds of each request that succeeded or failed, for metrics."""

    succeeded: Callable[[float], object]
    failed: Callable[[float], object]


class RequestSender:
    """Sends requests to one embedder.

    Args:
        embedder: the model.
        rate_controller: limits the requests, and stops them while the provider is down.
        budget: limits the cost; None if the model is free.
        observer: receives the duration of each request.
    """

    def __init__(
        self,
        embedder: Embedder,
        rate_controller: RateController,
        budget: Budget | None,
        observer: RequestObserver | None,
    ) -> None:
        self._embedder = embedder
        self._rate_controller = rate_controller
        self._budget = budget
        self._observer = observer

    async def send(
        self, texts: Sequence[str], timeout_seconds: float | None = None
    ) -> list[EmbeddedText | errors.AkinError]:
        """Send one request; return the outcome of each text.

        Raises:
            BudgetSpent: today's budget is spent.
            EmbeddingUnavailable: the vectors have the wrong shape.
            TextsFailed: the request failed, but the provider embeds a harmless text.
            ProviderError: the request failed.
        """
        async with self._rate_controller.track_request():
            try:
                embeddings = await self._call(texts, timeout_seconds)
            except ProviderUnavailable as exc:
                raise await self._find_cause(exc) from exc
        return normalize_batch(embeddings, len(texts), self._embedder.space.dimensions)

    async def _find_cause(self, failure: ProviderUnavailable) -> ProviderError:
        """Return TextsFailed if the provider embeds a harmless text, or else the failure itself."""
        if failure.throttled:
            return failure
        try:
            # A new text each time, or a cache in front of the provider could answer in its place.
            await self._call([f"{PROBE_TEXT} {time.time_ns()}"])
        except (ProviderError, errors.AkinError):
            return failure
        return TextsFailed(failure)

    async def _call(self, texts: Sequence[str], timeout_seconds: float | None = None) -> Embeddings:
        """Send one request within the budget; the timeout does not include the wait for it."""
        if self._budget is None:
            return await self._observe(texts, timeout_seconds)
        async with self._budget.reserve(sum(map(estimate_tokens, texts))) as reservation:
            embeddings = await self._observe(texts, timeout_seconds)
            reservation.usage = TokenUsage(embeddings.prompt_tokens, embeddings.cost_usd)
        return embeddings

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


def normalize_batch(
    embeddings: Embeddings, text_count: int, dimensions: int
) -> list[EmbeddedText | errors.AkinError]:
    """Return the unit vector of each text of a batch.

    A text has TextRejected for a row of zeros, and TextFailed for numbers that are not finite.

    Raises:
        EmbeddingUnavailable: the vectors have the wrong shape.
    """
    vectors = np.asarray(embeddings.vectors, np.float32)
    if vectors.shape != (text_count, dimensions):
        raise errors.EmbeddingUnavailable(
            f"the embedder returned vectors of shape {vectors.shape} instead of "
            f"{(text_count, dimensions)}"
        )
    # In float64, where the squares of large numbers do not overflow.
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # infinite numbers, which are checked below
        normalized = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    tokens = embeddings.prompt_tokens / max(text_count, 1)
    cost_usd = embeddings.cost_usd / max(text_count, 1)
    outcomes: list[EmbeddedText | errors.AkinError] = []
    for vector, length in zip(normalized, lengths[:, 0].tolist(), strict=True):
        if not math.isfinite(length):
            outcomes.append(errors.TextFailed(NO_VECTOR))
        elif length == 0:
            outcomes.append(errors.TextRejected("has no word that the embedding model knows"))
        else:
            # A copy, because a view would keep the whole batch in memory.
            outcomes.append(EmbeddedText(vector.copy(), tokens, cost_usd))
    return outcomes
