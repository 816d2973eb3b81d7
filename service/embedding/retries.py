"""Gets a batch embedded in spite of the provider: retries, smaller batches, one bad text alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import stamina
import structlog

from service import errors
from service.embedding.embedder import HARMLESS_TEXT, Embedded, Embedder, Embeddings, units
from service.embedding.errors import (
    BatchTooLarge,
    CircuitOpen,
    ProviderError,
    ProviderUnavailable,
    TextRefused,
    for_callers,
)
from service.embedding.rate_control import RateController

ATTEMPTS = 4
LEAST_BATCH_TEXTS = 8
"""A batch may be refused for a few long texts: it does not teach to send others one by one."""

RETRY_SECONDS = 30.0
"""A batch is tried for so long at most; its callers leave earlier if their deadlines say so."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0

_LOG = structlog.get_logger()

Outcome = Embedded | errors.AkinError


class Delivery:
    """Embeds batches through one embedder, at one rate controller."""

    def __init__(self, embedder: Embedder, rate_controller: RateController) -> None:
        self._embedder = embedder
        self._rate_controller = rate_controller
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
        return await self._deliver(texts, is_wanted, cleared=False)

    async def _deliver(
        self, texts: Sequence[str], is_wanted: Callable[[str], bool], *, cleared: bool
    ) -> dict[str, Outcome]:
        """As `deliver`; `cleared` tells that our settings are known not to be at fault."""
        try:
            sent, embeddings = await self._request(texts, is_wanted)
        except BatchTooLarge:
            if len(texts) == 1:
                return {texts[0]: errors.TextRejected("is too long for the embedding model")}
            learnt = max(LEAST_BATCH_TEXTS, len(texts) // 2)
            self.batch_texts = min(self.batch_texts, learnt)
        except TextRefused as exc:
            refused = await self._refused(texts, exc, cleared=cleared)
            if refused:
                return refused
            cleared = True
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
        first = await self._deliver(texts[:middle], is_wanted, cleared=cleared)
        return {**first, **await self._deliver(texts[middle:], is_wanted, cleared=cleared)}

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
                async with self._rate_controller.attempt():
                    embeddings = await self._embedder.embed(wanted)
                return wanted, embeddings
        raise AssertionError("the last attempt returns or raises")

    async def _refused(
        self, texts: Sequence[str], failure: TextRefused, *, cleared: bool
    ) -> dict[str, Outcome]:
        """The outcomes where it is settled who is at fault; empty where halves must tell."""
        blame = None if cleared or failure.certain else await self._blame()
        if blame is not None:
            return dict.fromkeys(texts, blame)
        return {texts[0]: errors.TextRejected(failure.message)} if len(texts) == 1 else {}

    async def _blame(self) -> errors.AkinError | None:
        """What is wrong with our settings, where even a harmless text is refused; None: nothing."""
        try:
            async with self._rate_controller.attempt():
                await self._embedder.embed([HARMLESS_TEXT])
        except TextRefused:
            return errors.EmbeddingRejected(
                "the provider refuses every text: the model or a setting is at fault"
            )
        except ProviderError as exc:
            return for_callers(exc)
        return None


def _backoff(exc: Exception) -> bool | float:
    """Whether to try again; the provider's own word on when goes before ours."""
    if not isinstance(exc, ProviderUnavailable) or isinstance(exc, CircuitOpen):
        return False
    if exc.retry_after_seconds is None:
        return True
    return exc.retry_after_seconds <= LONGEST_WAIT_SECONDS and exc.retry_after_seconds
