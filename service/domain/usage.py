"""The usage of embedding: texts, tokens and US dollars."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbeddingUsage:
    """The usage of one call: distinct texts, how many had vectors, tokens and US dollars."""

    text_count: int = 0
    cached_text_count: int = 0
    prompt_tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, other: EmbeddingUsage) -> EmbeddingUsage:
        """Return the sum of two usages without a common text."""
        return EmbeddingUsage(
            self.text_count + other.text_count,
            self.cached_text_count + other.cached_text_count,
            self.prompt_tokens + other.prompt_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """The usage of one day in UTC, YYYY-MM-DD."""

    day: str
    prompt_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens and US dollars, of one day or in total."""

    prompt_tokens: int = 0
    cost_usd: float = 0.0
