"""Embeds a batch in spite of provider failures: retries, smaller batches, isolated bad texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import stamina
import structlog

from service import errors
from service.domain.usage import TokenUsage
from service.embedding.budget import Budget
from service.embedding.embedder import (
    PROBE_TEXT,
    EmbeddedText,
    Embedder,
    EmbeddingOutcome,
    Embeddings,
)
from service.embedding.errors import (
    BatchTooLarge,
    CircuitOpen,
    ProviderError,
    ProviderUnavailable,
    TextRefused,
    to_service_error,
)
from service.embedding.rate_control import RateController
from service.telemetry import call_context

# Requests for one batch, the first one included.
MAX_ATTEMPTS = 4

# A batch may be refused for a few long texts, which must not lead to batches of single texts.
MIN_BATCH_TEXTS = 8

# Bounds all attempts of a batch; its callers leave earlier if their deadlines are earlier.
MAX_RETRY_SECONDS = 30.0

# The first delay before a retry, which doubles each time, and the jitter of every delay.
MIN_DELAY_SECONDS = 0.5

# Bounds the delay before a retry; a provider that asks for a longer one is not retried here.
MAX_DELAY_SECONDS = 8.0

_LOG = structlog.get_logger()


class RequestObserver(NamedTuple):
    """Receives the duration in seconds of each request that succeeded or failed, for metrics."""

    succeeded: Callable[[float], object]
    failed: Callable[[float], object]


class RetryingEmbedder:
    """Embeds batches through one embedder, under one rate controller.

    `batch_texts` is the largest batch that the provider accepts, as far as its answers tell.
    """

    def __init__(
        self,
        embedder: Embedder,
        rate_controller: RateController,
        budget: Budget | None = None,
        observer: RequestObserver | None = None,
    ) -> None:
        self._embedder = embedder
        self._rate_controller = rate_controller
        self._budget = budget
        self._observer = observer
        self.batch_texts = embedder.limits.texts

    async def embed(
        self, texts: Sequence[str], is_awaited: Callable[[str], bool]
    ) -> dict[str, EmbeddingOutcome]:
        """Embed texts, and return the vector or the error of each.

        Args:
            texts: distinct texts.
            is_awaited: returns whether any caller waits for a text; called before each request.

        Returns:
            Outcomes by text. A text that no caller waits for may have none.
        """
        return await self._embed(texts, is_awaited, settings_work=False)

    async def _embed(
        self, texts: Sequence[str], is_awaited: Callable[[str], bool], *, settings_work: bool
    ) -> dict[str, EmbeddingOutcome]:
        """Embed texts as `embed` does; `settings_work` means that the provider took other texts."""
        try:
            return await self._send(texts, is_awaited)
        except BatchTooLarge:
            if len(texts) == 1:
                return {texts[0]: errors.TextRejected("is too long for the embedding model")}
            self.batch_texts = min(self.batch_texts, max(MIN_BATCH_TEXTS, len(texts) // 2))
        except TextRefused as exc:
            outcomes = await self._explain_refusal(texts, exc, settings_work=settings_work)
            if outcomes:
                return outcomes
            settings_work = True
        except ProviderError as exc:
            return dict.fromkeys(texts, to_service_error(exc))
        except errors.AkinError as exc:
            return dict.fromkeys(texts, exc)
        except Exception:  # noqa: BLE001  (logged)
            # A bug of ours or of a library, perhaps because of one text: isolate it from the rest.
            _LOG.exception("embedder_failed", texts=len(texts))
            if len(texts) == 1:
                return {texts[0]: errors.EmbeddingUnavailable("the embedder failed on the text")}
        middle = len(texts) // 2
        first = await self._embed(texts[:middle], is_awaited, settings_work=settings_work)
        second = await self._embed(texts[middle:], is_awaited, settings_work=settings_work)
        return {**first, **second}

    async def _send(
        self, texts: Sequence[str], is_awaited: Callable[[str], bool]
    ) -> dict[str, EmbeddingOutcome]:
        """Send one request, with retries; return the outcome of each text that it was sent with."""
        async for attempt in stamina.retry_context(
            on=_retry_delay,
            attempts=MAX_ATTEMPTS,
            timeout=MAX_RETRY_SECONDS,
            wait_initial=MIN_DELAY_SECONDS,
            wait_max=MAX_DELAY_SECONDS,
            wait_jitter=MIN_DELAY_SECONDS,
        ):
            with attempt:
                awaited_texts = [text for text in texts if is_awaited(text)]
                vectors = await self._request(awaited_texts) if awaited_texts else []
                return dict(zip(awaited_texts, vectors, strict=True))
        raise AssertionError("the last attempt returns or raises")

    async def _request(self, texts: Sequence[str]) -> list[EmbeddedText | errors.AkinError]:
        """Send one request within the budget; return the outcome of each text.

        Raises:
            BudgetSpent: today's budget is spent.
            EmbeddingUnavailable: the vectors have the wrong shape, or numbers that are not finite.
            ProviderError: the request failed.
        """
        async with self._rate_controller.track_request():
            if self._budget is not None:
                await self._budget.check()
            started = time.perf_counter()
            failed = True
            try:
                with call_context.Stage(call_context.REQUEST):
                    embeddings = await self._embedder.embed(texts)
                failed = False
            finally:
                if self._observer is not None:
                    observe = self._observer.failed if failed else self._observer.succeeded
                    observe(time.perf_counter() - started)
            if self._budget is not None and (embeddings.prompt_tokens or embeddings.cost_usd):
                await self._budget.record(TokenUsage(embeddings.prompt_tokens, embeddings.cost_usd))
            return normalize_batch(embeddings, len(texts), self._embedder.space.dimensions)

    async def _explain_refusal(
        self, texts: Sequence[str], failure: TextRefused, *, settings_work: bool
    ) -> dict[str, EmbeddingOutcome]:
        """Return the outcomes if the cause is certain; empty if the batch must be split."""
        if not (settings_work or failure.certain):
            error = await self._probe_settings()
            if error is not None:
                return dict.fromkeys(texts, error)
        return {texts[0]: errors.TextRejected(failure.message)} if len(texts) == 1 else {}

    async def _probe_settings(self) -> errors.AkinError | None:
        """Return the error of our settings if the provider refuses the probe text as well."""
        try:
            await self._request([PROBE_TEXT])
        except TextRefused:
            return errors.EmbeddingRejected(
                "the provider refuses every text: check the model and the embedding settings"
            )
        except ProviderError as exc:
            return to_service_error(exc)
        except errors.AkinError as exc:
            return exc
        return None


def _retry_delay(exc: Exception) -> bool | float:
    """Return whether to retry, or the delay in seconds that the provider asked for."""
    if not isinstance(exc, ProviderUnavailable) or isinstance(exc, CircuitOpen):
        return False
    if exc.retry_after_seconds is None:
        return True
    return exc.retry_after_seconds <= MAX_DELAY_SECONDS and exc.retry_after_seconds


def normalize_batch(
    embeddings: Embeddings, text_count: int, dimensions: int
) -> list[EmbeddedText | errors.AkinError]:
    """Return the unit vector of each text of a batch; TextRejected for a row of zeros.

    Raises:
        EmbeddingUnavailable: the vectors have the wrong shape, or numbers that are not finite.
    """
    vectors = np.asarray(embeddings.vectors, np.float32)
    if vectors.shape != (text_count, dimensions):
        raise errors.EmbeddingUnavailable(
            f"the embedder returned vectors of shape {vectors.shape} instead of "
            f"{(text_count, dimensions)}"
        )
    if not np.isfinite(vectors).all():
        raise errors.EmbeddingUnavailable("the embedder returned numbers that are not finite")
    # In float64, where the squares of large numbers do not overflow.
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    normalized = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    tokens = embeddings.prompt_tokens / max(text_count, 1)
    cost_usd = embeddings.cost_usd / max(text_count, 1)
    return [
        # A copy, because a view would keep the whole batch in memory.
        EmbeddedText(vector.copy(), tokens, cost_usd)
        if length > 0
        else errors.TextRejected("has no word that the embedding model knows")
        for vector, length in zip(normalized, lengths[:, 0].tolist(), strict=True)
    ]
