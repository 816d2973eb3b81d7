"""Gets a batch embedded in spite of the provider: retries, smaller batches, one bad text alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import stamina
import structlog

from service import errors
from service.embedding.base import HARMLESS_TEXT, Embedded, Embedder, Embeddings, units
from service.embedding.failures import (
    BatchTooLarge,
    CircuitOpen,
    ProviderError,
    ProviderUnavailable,
    TextRefused,
    for_callers,
)
from service.embedding.pace import Pace

ATTEMPTS = 4
RETRY_SECONDS = 30.0
"""A batch is tried for so long at most; its callers leave earlier if their deadlines say so."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0

_LOG = structlog.get_logger()

Outcome = Embedded | errors.AkinError


class Delivery:
    """Embeds batches through one embedder, at one pace."""

    def __init__(self, embedder: Embedder, pace: Pace) -> None:
        self._embedder = embedder
        self._pace = pace
        self._proven = False
        self.batch_texts = embedder.limits.texts

    async def deliver(
        self, texts: Sequence[str], is_wanted: Callable[[str], bool]
    ) -> dict[str, Outcome]:
        """Embeds texts; each gets its vector or its own error.

        Args:
            texts: distinct texts.
            is_wanted: whether anybody still waits for a text; asked before each request.

        Returns:
            Outcomes by text; a text that nobody wants any more may have none.
        """
        try:
            sent, embeddings = await self._request(texts, is_wanted)
        except BatchTooLarge:
            if len(texts) == 1:
                return {texts[0]: errors.TextRejected("is too long for the embedding model")}
            self.batch_texts = max(1, min(self.batch_texts, len(texts) // 2))
        except TextRefused as exc:
            if len(texts) == 1:
                return {texts[0]: await self._judge(exc)}
        except ProviderError as exc:
            return dict.fromkeys(texts, for_callers(exc))
        except errors.AkinError as exc:
            return dict.fromkeys(texts, exc)
        except Exception:  # noqa: BLE001  (logged)
            # A fault of ours, or of a library. One text may set it off: the others must not suffer.
            _LOG.exception("embedder_failed", texts=len(texts))
            if len(texts) == 1:
                return {texts[0]: errors.EmbeddingUnavailable("the embedder failed on the text")}
        else:
            outcomes = units(embeddings, len(sent), self._embedder.space.dimensions)
            return dict(zip(sent, outcomes, strict=True))
        middle = len(texts) // 2
        first = await self.deliver(texts[:middle], is_wanted)
        return {**first, **await self.deliver(texts[middle:], is_wanted)}

    async def _request(
        self, texts: Sequence[str], is_wanted: Callable[[str], bool]
    ) -> tuple[Sequence[str], Embeddings]:
        """One request, tried again while that may help; tells which texts it was sent with."""
        async for attempt in stamina.retry_context(
            on=_backoff,
            attempts=ATTEMPTS,
            timeout=RETRY_SECONDS,
            wait_initial=FIRST_WAIT_SECONDS,
            wait_max=LONGEST_WAIT_SECONDS,
            wait_jitter=FIRST_WAIT_SECONDS,
        ):
            with attempt:
                wanted = [text for text in texts if is_wanted(text)]
                if not wanted:
                    nothing = np.empty((0, self._embedder.space.dimensions), np.float32)
                    return [], Embeddings(nothing)
                async with self._pace.attempt():
                    embeddings = await self._embedder.embed(wanted)
                self._proven = True
                return wanted, embeddings
        raise AssertionError("the last attempt returns or raises")

    async def _judge(self, failure: TextRefused) -> errors.AkinError:
        """Whether a text that was refused alone is at fault itself, or our settings are."""
        if not failure.certain and not self._proven:
            try:
                await self._embedder.embed([HARMLESS_TEXT])
                self._proven = True
            except TextRefused:
                return errors.EmbeddingRejected(
                    "the provider refuses every text: the model or a setting is at fault"
                )
            except ProviderError as exc:
                return for_callers(exc)
        return errors.TextRejected(failure.message)


def _backoff(exc: Exception) -> bool | float:
    """Whether to try again; the provider's own word on when goes before ours."""
    if not isinstance(exc, ProviderUnavailable) or isinstance(exc, CircuitOpen):
        return False
    if exc.retry_after_seconds is None:
        return True
    return exc.retry_after_seconds <= LONGEST_WAIT_SECONDS and exc.retry_after_seconds
