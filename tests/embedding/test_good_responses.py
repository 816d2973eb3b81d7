import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from support.faults import changed, each
from support.provider import DIMENSIONS, Fault, Reply, ScriptedProvider, answer, vector

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder

TEXTS = ["a secret recipe", "sailing ships", "horror"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as made:
        yield made


async def embedded(provider: ScriptedProvider, fault: Fault) -> Embeddings:
    provider.script.append(fault)
    made = OpenAICompatibleEmbedder(
        Endpoint("openrouter", provider.url, "m"),
        Space("openrouter", "m", DIMENSIONS),
        BatchLimits(64, 100_000, 512),
        20.0,
    )
    try:
        return await made.embed(TEXTS)
    finally:
        await made.close()


def body(request: Mapping[str, Any]) -> bytes:
    return json.dumps(answer(request)).encode()


def sent(prefix: bytes = b"", **headers: str) -> Fault:
    """A good answer behind some bytes, with other headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: Reply(prefix + body(request), 200, {**JSON, **named})


def used(usage: Mapping[str, Any]) -> Fault:
    return changed(usage=usage)


VECTORS: dict[str, Fault] = {
    "byte order mark before the JSON": sent(b"\xef\xbb\xbf"),
    "Content-Type of an event stream": sent(Content_Type="text/event-stream"),
    "rate limit headers on success": sent(X_RateLimit_Remaining="0", Retry_After="60"),
    "response cache hit": sent(X_OpenRouter_Cache_Status="HIT", X_Generation_Id="gen-emb-1"),
    "compressed": lambda request: Reply(
        gzip.compress(body(request)), 200, {**JSON, "Content-Encoding": "gzip"}
    ),
    "index as minus zero": each(lambda n, row: row | {"index": n or -0.0}),
    "object field of a vector missing": each(
        lambda _n, row: {name: row[name] for name in ("index", "embedding")}
    ),
    "message and detail beside data": changed(message="all is well", detail="really"),
    "model null": changed(model=None),
    "private upstream model name": changed(model="private/openrouter/nvidia/nemotron-3-embed-1b"),
}

USAGES: dict[str, tuple[Fault, int, float]] = {
    "documented": (used({"prompt_tokens": 9, "total_tokens": 9, "cost": 4.5e-08}), 9, 4.5e-08),
    "cost_details null": (used({"prompt_tokens": 9, "cost": 0.5, "cost_details": None}), 9, 0.5),
    "cache hit costs nothing": (used({"prompt_tokens": 0, "total_tokens": 0, "cost": 0}), 0, 0.0),
    "tokens as float": (used({"prompt_tokens": 9.0}), 9, 0.0),
    "tokens null": (used({"prompt_tokens": None, "cost": 0.5}), 0, 0.5),
    "negative": (used({"prompt_tokens": -1, "cost": -0.5}), 0, 0.0),
    "cost infinite": (used({"prompt_tokens": 9, "cost": float("inf")}), 9, 0.0),
    "cost NaN": (used({"prompt_tokens": 9, "cost": float("nan")}), 9, 0.0),
    "cost beyond any float": (used({"prompt_tokens": 9, "cost": 10**400}), 9, 0.0),
    "tokens infinite": (used({"prompt_tokens": float("inf"), "cost": 0.5}), 0, 0.5),
    "tokens as a word": (used({"prompt_tokens": "nine", "cost": "free"}), 0, 0.0),
}


@pytest.mark.parametrize("name", VECTORS)
async def test_odd_but_whole_answers_are_understood(provider: ScriptedProvider, name: str) -> None:
    """What surrounds the vectors changes nothing about them."""
    found = (await embedded(provider, VECTORS[name])).vectors
    np.testing.assert_allclose([vector(text) for text in TEXTS], found, rtol=1e-6)


@pytest.mark.parametrize("name", USAGES)
async def test_usage_counts_as_far_as_it_makes_sense(provider: ScriptedProvider, name: str) -> None:
    """Tokens and dollars are finite and not negative, whatever the provider claims."""
    fault, tokens, cost = USAGES[name]
    found = await embedded(provider, fault)
    assert (tokens, cost) == (found.prompt_tokens, found.cost_usd)
