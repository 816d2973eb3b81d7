"""What an embedder is, whichever model or provider stands behind it."""

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
    """How an embedder wants its batches.

    At most `texts` texts and about `tokens` tokens each, `concurrency` at once, and no text of more
    than about `text_tokens`. A text waits up to `linger_seconds` for company while no batch is
    under way, and `gather_seconds` while one is.
    """

    texts: int
    tokens: int
    text_tokens: int
    concurrency: int = 1
    linger_seconds: float = 0.0
    gather_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The answer for one batch.

    `vectors` is float32 [texts, width] in the order of the texts, not necessarily of unit length; a
    row of zeros means that the model has nothing to say about that text. Tokens and dollars are
    what the provider counted for the whole batch.
    """

    vectors: Vector
    prompt_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's unit vector and its share of what the batch took."""

    vector: Vector
    prompt_tokens: float = 0.0
    cost_usd: float = 0.0


class Embedder(Protocol):
    """A model that turns texts into vectors of one space."""

    @property
    def space(self) -> Space:
        """The space of every vector it makes."""

    @property
    def limits(self) -> BatchLimits:
        """How it wants its batches."""

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds one batch, as it is.

        Raises:
            ProviderError: it failed.
        """

    async def close(self) -> None:
        """Lets go of threads and connections."""


HARMLESS_TEXT = "akin"
"""What a provider is asked to embed to see whether it embeds at all."""

BYTES_PER_TOKEN = 3
"""English has some 4 bytes a token, Chinese 3, a character; so this errs to the safe side."""


def estimated_tokens(text: str) -> int:
    """About how many tokens a model makes of a text, rather too many than too few."""
    return len(text.encode()) // BYTES_PER_TOKEN + 1


def units(embeddings: Embeddings, texts: int, dimensions: int) -> list[Embedded | errors.AkinError]:
    """The unit vectors of a batch, after a check of their number, width and values."""
    vectors = np.asarray(embeddings.vectors, np.float32)
    if vectors.shape != (texts, dimensions):
        raise errors.EmbeddingUnavailable(
            f"the embedder answered {vectors.shape} instead of {(texts, dimensions)}"
        )
    if not np.isfinite(vectors).all():
        raise errors.EmbeddingUnavailable("the embedder answered with numbers that are not finite")
    # In float64, where the squares of large numbers do not overflow.
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    normalised = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    tokens, cost = embeddings.prompt_tokens / max(texts, 1), embeddings.cost_usd / max(texts, 1)
    return [
        Embedded(unit.copy(), tokens, cost)  # not a view, which would keep the whole batch alive
        if length > 0
        else errors.TextRejected("has no word that the embedding model knows")
        for unit, length in zip(normalised, lengths[:, 0].tolist(), strict=True)
    ]
