from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from support.faults import DETAILS, ECHOES, GOOD, INSIDE_200, MALFORMED, STATUSES, Refusal, error
from support.provider import DIMENSIONS, USD_PER_TOKEN, Fault, ScriptedProvider, failure, vector

from service.domain.spaces import Space
from service.domain.usage import TokenUsage
from service.embedding.embedder import BatchLimits
from service.embedding.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    TextRefused,
)
from service.embedding.openai_compatible import (
    Endpoint,
    OpenAICompatibleEmbedder,
    probe_dimensions,
    strip_model_prefix,
)

pytestmark = pytest.mark.slow

TEXTS = ["a secret recipe", "sailing ships", "horror"]
KEY = "sk-or-v1-do-not-tell"
LIMITS = BatchLimits(64, 100_000, 512, concurrency=2)


def endpoint(url: str, **changes: object) -> Endpoint:
    return Endpoint("openrouter", url, "author/model", KEY, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def open_embedder(
    at: Endpoint, dimensions: int = DIMENSIONS, timeout_seconds: float = 20.0
) -> AsyncIterator[OpenAICompatibleEmbedder]:
    space = Space("openrouter", "author/model", dimensions)
    opened = OpenAICompatibleEmbedder(at, space, LIMITS, timeout_seconds)
    try:
        yield opened
    finally:
        await opened.close()


async def catch_failure(fault: Fault) -> ProviderError:
    with ScriptedProvider() as provider:
        provider.script.append(fault)
        async with open_embedder(endpoint(provider.url)) as embedder:
            with pytest.raises(ProviderError) as caught:
                await embedder.embed(TEXTS)
    return caught.value


@pytest.mark.parametrize("name", GOOD)
async def test_good_responses_are_parsed(name: str) -> None:
    """A response with all vectors is parsed, in the order of the texts, whatever its form."""
    expected = [vector(text) for text in TEXTS]
    with ScriptedProvider() as provider:
        provider.script.append(GOOD[name])
        dimensions = 4 if name.startswith(("whole", "vectors far")) else DIMENSIONS
        async with open_embedder(endpoint(provider.url), dimensions) as embedder:
            vectors = (await embedder.embed(TEXTS)).vectors
    assert (len(TEXTS), dimensions) == vectors.shape
    if dimensions == DIMENSIONS:
        np.testing.assert_allclose(expected, vectors, rtol=1e-6)


async def test_usage_is_reported() -> None:
    """Tokens and US dollars are those that the provider counted."""
    with ScriptedProvider() as provider:
        async with open_embedder(endpoint(provider.url)) as embedder:
            embeddings = await embedder.embed(TEXTS)
    assert 6 == embeddings.prompt_tokens
    assert pytest.approx(6 * USD_PER_TOKEN) == embeddings.cost_usd


BAD = {**MALFORMED, **INSIDE_200, **STATUSES, **DETAILS}


@pytest.mark.parametrize("name", BAD)
async def test_bad_responses_are_errors(name: str) -> None:
    """A bad response is the error that says what to do about it."""
    fault, expected = BAD[name]
    failure = await catch_failure(fault)
    assert expected.kind is type(failure)
    if isinstance(failure, ProviderUnavailable):
        assert (expected.retry_after_seconds, expected.throttled) == (
            failure.retry_after_seconds,
            failure.throttled,
        )
    if isinstance(failure, TextRefused):
        assert expected == Refusal(TextRefused, certain=failure.certain)


@pytest.mark.parametrize("name", ECHOES)
async def test_neither_texts_nor_the_key_are_repeated(name: str) -> None:
    """Errors contain neither the texts that a provider echoes nor the key."""
    failure = await catch_failure(ECHOES[name])
    for shown in (str(failure), repr(failure), failure.message, repr(endpoint("http://x"))):
        assert TEXTS[0] not in shown
        assert KEY not in shown


async def test_a_date_in_retry_after_counts_from_now() -> None:
    """A date in Retry-After is converted to the seconds until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    failure = await catch_failure(error(429, {"code": 429}, Retry_After=date))
    assert isinstance(failure, ProviderUnavailable)
    assert failure.retry_after_seconds is not None
    assert 50 < failure.retry_after_seconds <= 100


async def test_wrong_dimensions_are_refused() -> None:
    """Vectors with other dimensions than the space are reported as a wrong setting."""
    with ScriptedProvider() as provider:
        async with open_embedder(endpoint(provider.url), 32) as embedder:
            with pytest.raises(ProviderRefused, match=r"64 dimensions instead of 32.*DIMENSIONS"):
                await embedder.embed(TEXTS)


async def test_one_refusal_does_not_drop_the_dimensions() -> None:
    """The field is only dropped for good if the vectors without it have the right dimensions."""
    with ScriptedProvider() as provider:
        provider.script.append(failure(400))
        async with open_embedder(endpoint(provider.url, parameters={"dimensions": 8}), 8) as opened:
            with pytest.raises(ProviderRefused, match="64 dimensions instead of 8"):
                await opened.embed(TEXTS)
            assert (len(TEXTS), 8) == (await opened.embed(TEXTS)).vectors.shape


async def test_the_request_has_its_fields() -> None:
    """A request has the model, the texts, the float format, and the configured parameters."""
    parameters = {"dimensions": 8, "input_type": "query", "user": "u", "provider": {"zdr": True}}
    with ScriptedProvider() as provider:
        at = endpoint(provider.url, parameters=parameters, referer="https://shop.example")
        async with open_embedder(at, 8) as embedder:
            await embedder.embed(TEXTS)
        ((request,), (headers,)) = provider.requests, provider.headers
    assert {
        "model": "author/model",
        "input": TEXTS,
        "encoding_format": "float",
        **parameters,
    } == request
    assert f"Bearer {KEY}" == headers["authorization"]
    assert ("https://shop.example", "Akin") == (
        headers["http-referer"],
        headers["x-openrouter-title"],
    )


@pytest.mark.parametrize("end", ["", "/", "/embeddings", "/embeddings/"])
async def test_the_base_url_may_end_in_the_path(end: str) -> None:
    """A base URL works with and without /embeddings and a trailing slash."""
    with ScriptedProvider() as provider:
        async with open_embedder(endpoint(provider.url + end)) as embedder:
            assert (1, DIMENSIONS) == (await embedder.embed(["x"])).vectors.shape


async def test_a_wrong_base_url_is_refused() -> None:
    """HTTP 404 for an unknown path is reported as a wrong setting."""
    with ScriptedProvider() as provider:
        async with open_embedder(endpoint(f"{provider.url}/v2")) as embedder:
            with pytest.raises(ProviderRefused):
                await embedder.embed(["x"])


async def test_without_a_key_there_is_no_authorization() -> None:
    """Without a key, requests have no authorization header."""
    with ScriptedProvider() as provider:
        async with open_embedder(Endpoint("openai", provider.url, "m")) as embedder:
            await embedder.embed(["x"])
        assert "authorization" not in provider.headers[0]


async def test_a_dead_provider_is_unavailable() -> None:
    """A refused connection is a temporary failure."""
    with ScriptedProvider() as provider:
        url = provider.url
    async with open_embedder(endpoint(url)) as embedder:
        with pytest.raises(ProviderUnavailable, match="refused"):
            await embedder.embed(["x"])


async def test_a_slow_provider_is_unavailable() -> None:
    """A response that takes longer than the timeout is a temporary failure."""
    with ScriptedProvider() as provider:
        provider.released.clear()
        async with open_embedder(endpoint(provider.url), timeout_seconds=0.2) as embedder:
            with pytest.raises(ProviderUnavailable, match="in time"):
                await embedder.embed(["x"])


def test_the_prefix_of_a_model_is_stripped() -> None:
    """A model's name loses the prefix openrouter/ and nothing else."""
    assert "qwen/qwen3-embedding-8b" == strip_model_prefix("openrouter/qwen/qwen3-embedding-8b")
    assert "openai/text-embedding-3-small" == strip_model_prefix("openai/text-embedding-3-small")


async def test_a_probe_returns_the_dimensions() -> None:
    """One request returns the dimensions of the model, or the error of the provider."""
    with ScriptedProvider() as provider:
        probe = await probe_dimensions(endpoint(provider.url), 20.0)
        assert (DIMENSIONS, TokenUsage(1, USD_PER_TOKEN)) == probe
        provider.script.append(failure(401))
        with pytest.raises(ProviderRefused, match="API key"):
            await probe_dimensions(endpoint(provider.url), 20.0)
