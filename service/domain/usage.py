"""The usage of embedding: texts, tokens and US dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class EmbeddingUsage:
    """The usage of one call.

    Attributes:
        text_count: number of distinct texts.
        cached_text_count: number of those that had vectors.
        prompt_tokens: tokens that the provider counted.
        cost_usd: amount in US dollars.
        embedded_text_count: number of texts that the call embedded; the other ones that had no
            vectors failed.
    """

    text_count: int = 0
    cached_text_count: int = 0
    prompt_tokens: int = 0
    cost_usd: float = 0.0
    embedded_text_count: int = 0

    @property
    def token_usage(self) -> TokenUsage:
        """The tokens and their cost."""
        return TokenUsage(self.prompt_tokens, self.cost_usd)

    def plus(self, other: EmbeddingUsage) -> EmbeddingUsage:
        """Return the sum of two usages without a common text."""
        return EmbeddingUsage(
            self.text_count + other.text_count,
            self.cached_text_count + other.cached_text_count,
            self.prompt_tokens + other.prompt_tokens,
            self.cost_usd + other.cost_usd,
            self.embedded_text_count + other.embedded_text_count,
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


def format_utc_day(time_ns: int) -> str:
    """Return the UTC day of a time in nanoseconds since 1970, as YYYY-MM-DD."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).date().isoformat()
