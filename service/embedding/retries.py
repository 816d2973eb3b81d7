"""Embeds a batch in spite of provider failures: retries, smaller batches, isolated bad texts.

A batch that fails because of its texts is split until the bad text is alone. The other texts of the
batch are embedded without waiting for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

import stamina
import structlog

from service import errors
from service.embedding.budget import BatchTooCostly
from service.embedding.embedder import (
    PROBE_TEXT,
    Embedder,
    EmbeddingOutcome,
)
from service.embedding.errors import (
    BatchTooLarge,
    CircuitOpen,
    ProviderError,
    ProviderUnavailable,
    TextRefused,
    TextsFailed,
    TextTooLong,
    to_service_error,
)
from service.embedding.paid_requests import PaidRequests
from service.embedding.rate_control import RateController
from service.embedding.request_sender import RequestObserver, RequestSender, is_no_query

# Requests for one batch, the first one included.
MAX_ATTEMPTS = 4

# A batch may be refused for a few long texts, which must not lead to batches of single texts.
MIN_BATCH_TEXTS = 8

# Bounds all attempts of a batch; its callers leave earlier if their deadlines are earlier.
MAX_RETRY_SECONDS = 30.0

# Bounds a request for a part of a batch: if one text makes the provider hang, its neighbors must
# not wait for the timeout of a whole batch at every split.
PART_TIMEOUT_SECONDS = 10.0

# The first delay before a retry, which doubles each time, and the jitter of every delay.
MIN_DELAY_SECONDS = 0.5

# Bounds the delay before a retry; a provider that asks for a longer one is not retried here.
MAX_DELAY_SECONDS = 8.0

_LOG = structlog.get_logger()

Outcomes = Mapping[str, EmbeddingOutcome]

Choose = Callable[[Sequence[str]], Sequence[str]]

IsQuery = Callable[[str], bool]


class _Batch(NamedTuple):
    """Texts for one request.

    `is_part` means that the provider embeds other texts. `is_alone` means that it has failed on the
    text before. `low_priority` is that of all texts.
    """

    texts: Sequence[str]
    is_part: bool = False
    is_alone: bool = False
    low_priority: bool = False

    @property
    def is_single(self) -> bool:
        return len(self.texts) == 1


class RetryingEmbedder:
    """Embeds batches through one embedder, under one rate controller.

    `batch_texts` is the largest batch that the provider accepts, as far as its answers tell. After
    a timeout it is halved, and then grows by one with each full batch that succeeds.
    """

    def __init__(
        self,
        embedder: Embedder,
        rate_controller: RateController,
        paid_requests: PaidRequests | None = None,
        observer: RequestObserver | None = None,
    ) -> None:
        self._requests = RequestSender(embedder, rate_controller, paid_requests, observer)
        self.batch_texts = embedder.limits.texts
        self._is_local = embedder.space.is_local
        self._max_batch_texts = embedder.limits.texts

    async def embed(
        self,
        texts: Sequence[str],
        choose: Choose,
        is_query: IsQuery = is_no_query,
        *,
        alone: bool = False,
        low_priority: bool = False,
    ) -> AsyncIterator[Outcomes]:
        """Embed texts, and yield the vectors or errors as soon as they are known.

        Args:
            texts: distinct texts.
            choose: returns those of some texts that are still to be sent; called before each
                request with its texts.
            is_query: returns whether a text is of a query and not of an item.
            alone: the texts are one that has failed before, and is not retried at once.
            low_priority: let paid requests without low priority of all processes go first.

        Yields:
            Outcomes by text. A text that was not chosen for a request has none.
        """
        queue = deque([_Batch(texts, is_alone=alone, low_priority=low_priority)])
        while queue:
            batch = queue.popleft()
            outcomes, parts = await self._embed_batch(batch, choose, is_query)
            if outcomes:
                yield outcomes
            queue.extend(parts)

    async def drain(self) -> None:
        """Wait for responses that are paid for, for a few seconds at most."""
        await self._requests.drain()

    async def _embed_batch(
        self, batch: _Batch, choose: Choose, is_query: IsQuery
    ) -> tuple[Outcomes, list[_Batch]]:
        """Return the outcomes that one request decides, and the batches for the other texts."""
        texts = batch.texts
        try:
            outcomes = await self._send(batch, choose, is_query)
        except BatchTooLarge:
            self._shrink_batches(len(texts))
            self._max_batch_texts = self.batch_texts
            return _isolate(batch, TextTooLong())
        except TextRefused as exc:
            return await self._isolate_refused(batch, exc)
        except TextsFailed as exc:
            if exc.timed_out and not batch.is_part:
                # There may be too many texts for the time, or one that makes the provider hang.
                self._shrink_batches(len(texts))
            elif batch.is_single and batch.is_part and not (batch.is_alone or exc.timed_out):
                return {}, [batch._replace(is_alone=True)]  # the failure may be by chance
            return _isolate(batch, errors.TextFailed(exc.message), is_part=True)
        except ProviderError as exc:
            return dict.fromkeys(texts, to_service_error(exc)), []
        except errors.AkinError as exc:
            is_splittable = isinstance(exc, BatchTooCostly)
            return _isolate(batch, exc) if is_splittable else (dict.fromkeys(texts, exc), [])
        except Exception:  # noqa: BLE001  (logged)
            # A bug of ours or of a library, perhaps because of one text: isolate it from the rest.
            _LOG.exception("embedder_failed", texts=len(texts))
            return _isolate(batch, errors.TextFailed("makes the embedder fail"))
        if self.batch_texts <= len(outcomes) and self.batch_texts < self._max_batch_texts:
            self.batch_texts += 1
        return _separate_failed(batch, outcomes)

    def _shrink_batches(self, text_count: int) -> None:
        if text_count > 1:
            self.batch_texts = min(self.batch_texts, max(MIN_BATCH_TEXTS, text_count // 2))

    async def _isolate_refused(
        self, batch: _Batch, refusal: TextRefused
    ) -> tuple[Outcomes, list[_Batch]]:
        """Return the outcomes if the cause is certain, or else the halves of the batch."""
        if not (batch.is_part or refusal.certain):
            error = await self._probe_settings()
            if error is not None:
                return dict.fromkeys(batch.texts, error), []
        error = TextTooLong() if refusal.too_long else errors.TextRejected(refusal.message)
        return _isolate(batch, error, is_part=True)

    async def _send(self, batch: _Batch, choose: Choose, is_query: IsQuery) -> Outcomes:
        """Send one request, with retries; return the outcome of each text that it was sent with."""
        if self._is_local:  # it cannot fail for a while, and retries make 56 objects for each batch
            return await self._attempt(batch, choose, is_query)
        async for attempt in stamina.retry_context(
            on=lambda exc: _find_retry_delay(batch, exc),
            attempts=MAX_ATTEMPTS,
            timeout=MAX_RETRY_SECONDS,
            wait_initial=MIN_DELAY_SECONDS,
            wait_max=MAX_DELAY_SECONDS,
            wait_jitter=MIN_DELAY_SECONDS,
        ):
            with attempt:
                return await self._attempt(batch, choose, is_query)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, batch: _Batch, choose: Choose, is_query: IsQuery) -> Outcomes:
        texts = choose(batch.texts)
        timeout = PART_TIMEOUT_SECONDS if batch.is_part else None
        if not texts:
            return {}
        outcomes = await self._requests.send(
            texts, timeout, is_query, low_priority=batch.low_priority
        )
        return dict(zip(texts, outcomes, strict=True))

    async def _probe_settings(self) -> errors.AkinError | None:
        """Return the error of our settings if the provider refuses the probe text as well."""
        try:
            await self._requests.send_probe(PROBE_TEXT)
        except TextRefused:
            return errors.EmbeddingRejected(
                "the provider refuses every text: check the model and the embedding settings"
            )
        except ProviderError as exc:
            return to_service_error(exc)
        except errors.AkinError as exc:
            return exc
        return None


def _find_retry_delay(batch: _Batch, exc: Exception) -> bool | float:
    """Return whether to retry, or the delay in seconds that the provider asked for."""
    if isinstance(exc, TextsFailed):
        if not batch.is_single or batch.is_part or batch.is_alone:
            return False  # it is split, or sent again after the other parts
    elif not isinstance(exc, ProviderUnavailable) or isinstance(exc, CircuitOpen):
        return False
    if exc.retry_after_seconds is None:
        return True
    return exc.retry_after_seconds <= MAX_DELAY_SECONDS and exc.retry_after_seconds


def _isolate(
    batch: _Batch, error: errors.AkinError, *, is_part: bool = False
) -> tuple[Outcomes, list[_Batch]]:
    """Return the error if the batch is a single text, or else the halves of the batch."""
    if batch.is_single:
        return {batch.texts[0]: error}, []
    middle = len(batch.texts) // 2
    halves = batch.texts[:middle], batch.texts[middle:]
    is_part = is_part or batch.is_part
    return {}, [batch._replace(texts=texts, is_part=is_part, is_alone=False) for texts in halves]


def _separate_failed(batch: _Batch, outcomes: Outcomes) -> tuple[Outcomes, list[_Batch]]:
    """Return the outcomes, but the texts that failed among others as batches of their own."""
    if batch.is_single:
        return outcomes, []
    failed = [text for text, outcome in outcomes.items() if isinstance(outcome, errors.TextFailed)]
    decided = {text: outcome for text, outcome in outcomes.items() if text not in failed}
    return decided, [batch._replace(texts=[text], is_part=True, is_alone=False) for text in failed]
