"""The message of the usage of embedding."""

from __future__ import annotations

from akin.v1 import embedding_usage_pb2

from service.domain.usage import EmbeddingUsage


def usage_message(usage: EmbeddingUsage) -> embedding_usage_pb2.EmbeddingUsage:
    """Return the message of an embedding usage."""
    return embedding_usage_pb2.EmbeddingUsage(
        text_count=usage.text_count,
        cached_text_count=usage.cached_text_count,
        prompt_token_count=usage.prompt_tokens,
        cost_usd=usage.cost_usd,
        embedded_text_count=usage.embedded_text_count,
    )
