import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from support.faults import change_fields, replace_rows
from support.provider import DIMENSIONS, Fault, Reply, ScriptedProvider, answer, vector

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder

TEXTS = ["a secret recipe", "sailing ships", "horror"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


async def embed(provider: ScriptedProvider, fault: Fault) -> Embeddings:
    provider.script.append(fault)
    embedder = OpenAICompatibleEmbedder(
        Endpoint("openrouter", provider.url, "m"),
        Space("openrouter", "m", DIMENSIONS),
        BatchLimits(64, 100_000, 512),
        20.0,
    )
    try:
        return await embedder.embed(TEXTS)
    finally:
        await embedder.close()


def body(request: Mapping[str, Any]) -> bytes:
    return json.dumps(answer(request)).encode()


def succeed(prefix: bytes = b"", **headers: str) -> Fault:
    """Return a fault that is a good response after a prefix, with other headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: Reply(prefix + body(request), 200, {**JSON, **named})


def report_usage(usage: Mapping[str, Any]) -> Fault:
    return change_fields(usage=usage)


VECTORS: dict[str, Fault] = {
    "byte order mark before the JSON": succeed(b"\xef\xbb\xbf"),
    "Content-Type of an event stream": succeed(Content_Type="text/event-stream"),
    "rate limit headers on success": succeed(X_RateLimit_Remaining="0", Retry_After="60"),
    "response cache hit": succeed(X_OpenRouter_Cache_Status="HIT", X_Generation_Id="gen-emb-1"),
    "compressed": lambda request: Reply(
        gzip.compress(body(request)), 200, {**JSON, "Content-Encoding": "gzip"}
    ),
    "index as minus zero": replace_rows(lambda n, row: row | {"index": n or -0.0}),
    "object field of a vector missing": replace_rows(
        lambda _n, row: {name: row[name] for name in ("index", "embedding")}
    ),
    "message and detail beside data": change_fields(message="all is well", detail="really"),
    "model null": change_fields(model=None),
    "private upstream model name": change_fields(
        model="private/openrouter/nvidia/nemotron-3-embed-1b"
    ),
}

USAGES: dict[str, tuple[Fault, int, float]] = {
    "documented": (
        report_usage({"prompt_tokens": 9, "total_tokens": 9, "cost": 4.5e-08}),
        9,
        4.5e-08,
    ),
    "cost_details null": (
        report_usage({"prompt_tokens": 9, "cost": 0.5, "cost_details": None}),
        9,
        0.5,
    ),
    "cache hit costs nothing": (
        report_usage({"prompt_tokens": 0, "total_tokens": 0, "cost": 0}),
        0,
        0.0,
    ),
    "tokens as float": (report_usage({"prompt_tokens": 9.0}), 9, 0.0),
    "tokens null": (report_usage({"prompt_tokens": None, "cost": 0.5}), 0, 0.5),
    "negative": (report_usage({"prompt_tokens": -1, "cost": -0.5}), 0, 0.0),
    "cost infinite": (report_usage({"prompt_tokens": 9, "cost": float("inf")}), 9, 0.0),
    "cost NaN": (report_usage({"prompt_tokens": 9, "cost": float("nan")}), 9, 0.0),
    "cost beyond any float": (report_usage({"prompt_tokens": 9, "cost": 10**400}), 9, 0.0),
    "tokens infinite": (report_usage({"prompt_tokens": float("inf"), "cost": 0.5}), 0, 0.5),
    "tokens as a word": (report_usage({"prompt_tokens": "nine", "cost": "free"}), 0, 0.0),
}


@pytest.mark.parametrize("name", VECTORS)
async def test_unusual_responses_are_parsed(provider: ScriptedProvider, name: str) -> None:
    """Unusual headers and fields around the vectors do not change them."""
    vectors = (await embed(provider, VECTORS[name])).vectors
    np.testing.assert_allclose([vector(text) for text in TEXTS], vectors, rtol=1e-6)


@pytest.mark.parametrize("name", USAGES)
async def test_invalid_usage_counts_as_zero(provider: ScriptedProvider, name: str) -> None:
    """Tokens and US dollars are finite and not negative, whatever the provider reports."""
    fault, tokens, cost = USAGES[name]
    embeddings = await embed(provider, fault)
    assert (tokens, cost) == (embeddings.prompt_tokens, embeddings.cost_usd)
