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
    `busy_linger_seconds` while one is.
    """

    texts: int
    tokens: int
    text_tokens: int
    concurrency: int = 1
    linger_seconds: float = 0.0
    busy_linger_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of one batch and what they cost.

    `vectors` is float32 [texts, dimensions] in the order of the texts, not necessarily of unit
    length. A row of zeros means that the model knows no word of the text. Tokens and US dollars
    are what the provider counted for the whole batch.
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

# English has about 4 bytes a token, Chinese 3 bytes a character: estimates err to the safe side.
BYTES_PER_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, rather too many than too few."""
    return len(text.encode()) // BYTES_PER_TOKEN + 1


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
