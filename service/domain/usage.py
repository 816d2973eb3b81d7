"""What embedding consumed: texts, tokens and US dollars."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbeddingUsage:
    """What embedding took: distinct texts, how many had a vector, provider tokens and dollars."""

    texts: int = 0
    cached_texts: int = 0
    prompt_tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, other: EmbeddingUsage) -> EmbeddingUsage:
        """Both together, where they have no text in common."""
        return EmbeddingUsage(
            self.texts + other.texts,
            self.cached_texts + other.cached_texts,
            self.prompt_tokens + other.prompt_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """What embedding took on one day of UTC, YYYY-MM-DD."""

    day: str
    prompt_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What embedding took on one day of UTC, or in all."""

    prompt_tokens: int = 0
    cost_usd: float = 0.0
