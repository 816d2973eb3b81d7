from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from support.faults import DETAILS, ECHOES, GOOD, INSIDE_200, MALFORMED, STATUSES, Refusal, error
from support.provider import DIMENSIONS, USD_PER_TOKEN, Fault, ScriptedProvider, failure, vector

from service.domain.spaces import Space
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
async def embedder(
    at: Endpoint, dimensions: int = DIMENSIONS, timeout_seconds: float = 20.0
) -> AsyncIterator[OpenAICompatibleEmbedder]:
    space = Space("openrouter", "author/model", dimensions)
    made = OpenAICompatibleEmbedder(at, space, LIMITS, timeout_seconds)
    try:
        yield made
    finally:
        await made.close()


async def failure_of(fault: Fault) -> ProviderError:
    with ScriptedProvider() as provider:
        provider.script.append(fault)
        async with embedder(endpoint(provider.url)) as made:
            with pytest.raises(ProviderError) as caught:
                await made.embed(TEXTS)
    return caught.value


@pytest.mark.parametrize("name", GOOD)
async def test_good_answers_are_understood(name: str) -> None:
    """An answer that holds all vectors is taken, in the texts' order, whatever its form."""
    expected = [vector(text) for text in TEXTS]
    with ScriptedProvider() as provider:
        provider.script.append(GOOD[name])
        width = 4 if name.startswith(("whole", "vectors far")) else DIMENSIONS
        async with embedder(endpoint(provider.url), width) as made:
            found = (await made.embed(TEXTS)).vectors
    assert (len(TEXTS), width) == found.shape
    if width == DIMENSIONS:
        np.testing.assert_allclose(expected, found, rtol=1e-6)


async def test_usage_is_told() -> None:
    """Tokens and dollars are those that the provider counted."""
    with ScriptedProvider() as provider:
        async with embedder(endpoint(provider.url)) as made:
            found = await made.embed(TEXTS)
    assert 6 == found.prompt_tokens
    assert pytest.approx(6 * USD_PER_TOKEN) == found.cost_usd


BAD = {**MALFORMED, **INSIDE_200, **STATUSES, **DETAILS}


@pytest.mark.parametrize("name", BAD)
async def test_bad_answers_fail_as_they_should(name: str) -> None:
    """An answer that is none becomes the failure that says what can be done about it."""
    fault, expected = BAD[name]
    found = await failure_of(fault)
    assert expected.kind is type(found)
    if isinstance(found, ProviderUnavailable):
        assert (expected.retry_after_seconds, expected.throttled) == (
            found.retry_after_seconds,
            found.throttled,
        )
    if isinstance(found, TextRefused):
        assert expected == Refusal(TextRefused, certain=found.certain)


@pytest.mark.parametrize("name", ECHOES)
async def test_neither_texts_nor_the_key_are_repeated(name: str) -> None:
    """What the provider says of a text, and our key, stay out of the failure and the endpoint."""
    found = await failure_of(ECHOES[name])
    for said in (str(found), repr(found), found.message, repr(endpoint("http://x"))):
        assert TEXTS[0] not in said
        assert KEY not in said


async def test_a_date_in_retry_after_counts_from_now() -> None:
    """Retry-After may be a date; what counts is how far off it is."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    found = await failure_of(error(429, {"code": 429}, Retry_After=date))
    assert isinstance(found, ProviderUnavailable)
    assert found.retry_after_seconds is not None
    assert 50 < found.retry_after_seconds <= 100


async def test_a_wrong_width_is_refused() -> None:
    """Vectors of another width than the space's are a fault of our settings, and named so."""
    with ScriptedProvider() as provider:
        async with embedder(endpoint(provider.url), 32) as made:
            with pytest.raises(ProviderRefused, match=r"64 dimensions instead of 32.*DIMENSIONS"):
                await made.embed(TEXTS)


async def test_the_request_says_what_it_should() -> None:
    """A request has the model, plain strings, floats asked for, and what the settings add."""
    parameters = {"dimensions": 8, "input_type": "query", "user": "u", "provider": {"zdr": True}}
    with ScriptedProvider() as provider:
        at = endpoint(provider.url, parameters=parameters, referer="https://shop.example")
        async with embedder(at, 8) as made:
            await made.embed(TEXTS)
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
async def test_the_base_url_may_name_the_endpoint(end: str) -> None:
    """A base URL works with and without /embeddings and a slash at its end."""
    with ScriptedProvider() as provider:
        async with embedder(endpoint(provider.url + end)) as made:
            assert (1, DIMENSIONS) == (await made.embed(["x"])).vectors.shape


async def test_a_wrong_base_url_is_our_fault() -> None:
    """A page that is not there tells that the settings are wrong."""
    with ScriptedProvider() as provider:
        async with embedder(endpoint(f"{provider.url}/v2")) as made:
            with pytest.raises(ProviderRefused):
                await made.embed(["x"])


async def test_no_key_sends_no_authorisation() -> None:
    """An endpoint that wants no key gets none."""
    with ScriptedProvider() as provider:
        async with embedder(Endpoint("openai", provider.url, "m")) as made:
            await made.embed(["x"])
        assert "authorization" not in provider.headers[0]


async def test_a_dead_provider_is_unavailable() -> None:
    """Where nobody listens the failure says so and may be tried again."""
    with ScriptedProvider() as provider:
        url = provider.url
    async with embedder(endpoint(url)) as made:
        with pytest.raises(ProviderUnavailable, match="cannot connect"):
            await made.embed(["x"])


async def test_a_slow_provider_is_unavailable() -> None:
    """An answer that takes longer than the request may last is not waited for."""
    with ScriptedProvider() as provider:
        provider.released.clear()
        async with embedder(endpoint(provider.url), timeout_seconds=0.2) as made:
            with pytest.raises(ProviderUnavailable, match="in time"):
                await made.embed(["x"])


def test_the_prefix_of_other_tools_is_taken_off() -> None:
    """A model's name loses the prefix openrouter/ and nothing else."""
    assert "qwen/qwen3-embedding-8b" == strip_model_prefix("openrouter/qwen/qwen3-embedding-8b")
    assert "openai/text-embedding-3-small" == strip_model_prefix("openai/text-embedding-3-small")


async def test_a_probe_learns_the_width() -> None:
    """One request tells how wide the model's vectors are, or why it cannot be used."""
    with ScriptedProvider() as provider:
        assert DIMENSIONS == await probe_dimensions(endpoint(provider.url), 20.0)
        provider.script.append(failure(401))
        with pytest.raises(ProviderRefused, match="API key"):
            await probe_dimensions(endpoint(provider.url), 20.0)
