"""The port that every embedding model implements, whichever model or provider is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service import errors
from service.domain.spaces import Space

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The batches that an embedder accepts.

    A batch has at most `texts` texts and about `tokens` tokens, and no text has more than about
    `text_tokens` tokens. At most `concurrency` batches are in flight. A batch waits up to
    `linger_seconds` for more texts while no other batch is in flight, and up to
    `busy_linger_seconds` while one is. A batch takes at most `seconds`, with or without success.
    """

    texts: int
    tokens: int
    text_tokens: int
    concurrency: int = 1
    linger_seconds: float = 0.0
    busy_linger_seconds: float = 0.0
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of one batch and what they cost.

    `vectors` is float32 [texts, dimensions] in the order of the texts, not necessarily of unit
    length. A row of zeros means that the model knows no word of the text, and a row of NaN that the
    provider returned no valid vector for it. Tokens and US dollars are what the provider counted
    for the whole batch.
    """

    vectors: Vector
    prompt_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """The unit vector of a text, float32 [dimensions], and the text's share of the batch's cost."""

    vector: Vector
    prompt_tokens: float = 0.0
    cost_usd: float = 0.0


# What became of one text.
EmbeddingOutcome = EmbeddedText | errors.AkinError


class Embedder(Protocol):
    """A model that turns texts into vectors of one space."""

    @property
    def space(self) -> Space:
        """The space of all its vectors."""

    @property
    def limits(self) -> BatchLimits:
        """The batches that it accepts."""

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch, without splitting it.

        Raises:
            ProviderError: the batch failed.
        """

    async def close(self) -> None:
        """Release threads and connections."""


# A text that every model accepts, to check whether the provider embeds at all.
PROBE_TEXT = "akin"
