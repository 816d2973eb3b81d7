"""What embeds and stores the texts of one generation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from service.domain.generations import Generation
from service.domain.usage import EmbeddingUsage, TokenUsage
from service.domain.vectors import Chunk
from service.embedding.text_embedder import TextEmbedder


@dataclass(frozen=True, slots=True)
class GenerationWriter:
    """A generation that texts are embedded for.

    Args:
        generation: the generation.
        text_embedder: embeds texts in its space.
        usd_per_token: returns the price of a token in US dollars.
        add_vectors: stores vectors of its space that belong to no item yet.
    """

    generation: Generation
    text_embedder: TextEmbedder
    usd_per_token: Callable[[], Awaitable[float]]
    add_vectors: Callable[[Sequence[Chunk], TokenUsage], Awaitable[None]]

    async def add_cost(self, usage: EmbeddingUsage) -> EmbeddingUsage:
        """Return an estimated usage with the cost of its tokens."""
        if not usage.prompt_tokens:
            return usage  # nothing to ask the provider's price for
        return replace(usage, cost_usd=usage.prompt_tokens * await self.usd_per_token())
