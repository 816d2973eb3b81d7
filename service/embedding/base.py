"""What an embedder is, whichever model or provider stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.values import Space

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The answer for one batch.

    `vectors` is float32 [texts, dimensions] in the order of the texts, not necessarily of unit
    length; a row of zeros means that the model has nothing to say about that text. Tokens and
    dollars are what the provider counted for the whole batch.
    """

    vectors: Vector
    prompt_tokens: int = 0
    cost_usd: float = 0.0


class Embedder(Protocol):
    """A model that turns texts into vectors of one space."""

    @property
    def space(self) -> Space:
        """The space of every vector it makes."""

    @property
    def batch_texts(self) -> int:
        """The most texts it takes at once."""

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds up to `batch_texts` texts.

        Raises:
            EmbeddingUnavailable: not for now.
        """

    async def close(self) -> None:
        """Lets go of threads and connections."""
