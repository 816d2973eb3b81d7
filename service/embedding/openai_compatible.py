"""Embeds through OpenRouter, or any endpoint with OpenAI's embeddings API."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import httpx

from service.domain.spaces import Space
from service.domain.usage import TokenUsage
from service.embedding.connection_errors import to_provider_error
from service.embedding.embedder import PROBE_TEXT, BatchLimits, Embeddings
from service.embedding.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    TextRefused,
)
from service.embedding.http_client import open_http_client
from service.embedding.openai_responses import ProviderResponse, parse_response
from service.telemetry import call_context

# A single text waits up to 5 ms to be batched with others.
LINGER_SECONDS = 0.005

# A request takes 80 ms at best and seconds at worst, and costs about the same for one text as for
# sixty: while one is in flight, the next batch waits longer for more texts.
BUSY_LINGER_SECONDS = 0.1

# The field of a request's body for the number of dimensions.
DIMENSIONS_FIELD = "dimensions"

# Bounds the time to connect, within the timeout of the request.
CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests are sent, and what each of them contains besides the texts.

    `kind` names the provider in the embedding space: openrouter or openai. `parameters` are fields
    of every request's body: dimensions, input_type, user, provider.
    """

    kind: str
    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    referer: str = ""
    title: str = "Akin"

    def without(self, parameter: str) -> Endpoint:
        """Return the endpoint without a field of the body."""
        parameters = {name: value for name, value in self.parameters.items() if name != parameter}
        return replace(self, parameters=parameters)

    @property
    def root(self) -> str:
        """The API's base URL without a trailing slash."""
        return normalize_base_url(self.base_url)

    @property
    def headers(self) -> dict[str, str]:
        """The headers for authorization and app attribution."""
        headers = {"X-OpenRouter-Title": self.title}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if self.referer:
            headers["HTTP-Referer"] = self.referer
        return headers


class OpenAICompatibleEmbedder:
    """An Embedder that sends one HTTP request for each batch, without retries."""

    def __init__(
        self, endpoint: Endpoint, space: Space, limits: BatchLimits, timeout_seconds: float
    ) -> None:
        self.space = space
        self.limits = limits
        self._endpoint = endpoint
        # Until a request has succeeded, the provider may refuse the field `dimensions`.
        self._is_accepted = False
        connect_timeout = min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        self._client = open_http_client(
            endpoint.root,
            headers=endpoint.headers,
            timeout=httpx.Timeout(timeout_seconds, connect=connect_timeout),
            limits=httpx.Limits(max_connections=limits.concurrency),
        )

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch with one request, or two if the provider may refuse the dimensions.

        Raises:
            ProviderError: the request failed, or the vectors have other dimensions than the space.
        """
        endpoint = self._endpoint
        if self._is_accepted:
            embeddings = await request_embeddings(self._client, endpoint, texts)
        else:
            embeddings, endpoint = await request_with_dimensions(self._client, endpoint, texts)
        dimensions = embeddings.vectors.shape[1]
        if dimensions != self.space.dimensions:
            raise ProviderRefused(
                f"the model returns {dimensions} dimensions instead of {self.space.dimensions}: "
                "set AKIN_EMBEDDING_DIMENSIONS to a number that the model supports",
                TokenUsage(embeddings.prompt_tokens, embeddings.cost_usd),
            )
        # Only now: a refusal by chance must not drop the field for all later requests.
        self._endpoint, self._is_accepted = endpoint, True
        return embeddings

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Probe(NamedTuple):
    """The number of dimensions of a model's vectors, and the usage of the request for it."""

    dimensions: int
    usage: TokenUsage


async def probe_dimensions(endpoint: Endpoint, timeout_seconds: float) -> Probe:
    """Return the number of dimensions of the model's vectors, from one request.

    Raises:
        ProviderError: the request failed.
    """
    async with open_http_client(
        endpoint.root, headers=endpoint.headers, timeout=timeout_seconds
    ) as client:
        embeddings, _ = await request_with_dimensions(client, endpoint, [PROBE_TEXT])
    usage = TokenUsage(embeddings.prompt_tokens, embeddings.cost_usd)
    return Probe(int(embeddings.vectors.shape[1]), usage)


async def request_with_dimensions(
    client: httpx.AsyncClient, endpoint: Endpoint, texts: Sequence[str]
) -> tuple[Embeddings, Endpoint]:
    """Send one request, and without the field `dimensions` again if the provider refuses it.

    Servers such as vLLM refuse the field for models of fixed dimensions, whatever its value.

    Returns:
        The vectors, and the endpoint that the provider accepts. The vectors may have other
        dimensions than the endpoint asks for.

    Raises:
        ProviderError: the request failed.
    """
    try:
        return await request_embeddings(client, endpoint, texts), endpoint
    except TextRefused as exc:
        if exc.certain or DIMENSIONS_FIELD not in endpoint.parameters:
            raise
        plain = endpoint.without(DIMENSIONS_FIELD)
        try:
            return await request_embeddings(client, plain, texts), plain
        except ProviderError:
            raise exc from None


async def request_embeddings(
    client: httpx.AsyncClient, endpoint: Endpoint, texts: Sequence[str]
) -> Embeddings:
    """Return the vectors of `texts` from one request, with as many dimensions as they have.

    Raises:
        ProviderError: the request failed.
    """
    body = {
        "model": endpoint.model,
        "input": list(texts),
        "encoding_format": "float",
        **endpoint.parameters,
    }
    try:
        # A timeout of the whole request: the client's own restarts with every byte that arrives.
        async with asyncio.timeout(client.timeout.read):
            response = await client.post(
                f"{endpoint.root}/embeddings", json=body, headers=call_context.make_trace_headers()
            )
    except TimeoutError as exc:
        raise ProviderUnavailable("the provider did not respond in time", timed_out=True) from exc
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as exc:
        # Without the cause, whose message may contain the address or the key.
        raise to_provider_error(exc) from None
    headers = {name.lower(): value for name, value in response.headers.items()}
    provider_response = ProviderResponse(
        response.status_code, headers, response.content, time.time()
    )
    return parse_response(provider_response, len(texts))


def strip_model_prefix(model: str) -> str:
    """Return a model's name for the API, without the prefix `openrouter/` that some tools add."""
    return model.removeprefix("openrouter/")


def normalize_base_url(base_url: str) -> str:
    """Return an API's base URL without a trailing slash and without `/embeddings` at its end."""
    return base_url.rstrip("/").removesuffix("/embeddings").rstrip("/")
