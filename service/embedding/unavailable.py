"""The embedder of a model that the settings give no access to."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.errors import ProviderRefused


class UnavailableEmbedder:
    """An Embedder that refuses every batch, so that calls without new texts are still served."""

    limits = BatchLimits(texts=256, tokens=100_000, text_tokens=512)

    def __init__(self, space: Space, message: str) -> None:
        self.space = space
        self._message = message

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Raise ProviderRefused."""
        del texts
        raise ProviderRefused(self._message)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""
