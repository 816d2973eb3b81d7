"""Stands in for a provider that the settings do not lead to."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.errors import ProviderRefused


class UnavailableEmbedder:
    """An Embedder that embeds nothing and says why, so that what needs no new vector is served."""

    limits = BatchLimits(texts=256, tokens=100_000, text_tokens=512)

    def __init__(self, space: Space, why: str) -> None:
        self.space = space
        self._why = why

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Raises ProviderRefused."""
        del texts
        raise ProviderRefused(self._why)

    async def close(self) -> None:
        """Has nothing to let go of."""
