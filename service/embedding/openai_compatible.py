"""Embeds through OpenRouter, or any endpoint that speaks OpenAI's embeddings API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.domain.spaces import Space
from service.embedding.embedder import HARMLESS_TEXT, BatchLimits, Embeddings
from service.embedding.errors import ProviderRefused, ProviderUnavailable
from service.embedding.openai_responses import Answer, read
from service.telemetry import call_context

OPENROUTER_URL = "https://openrouter.ai/api/v1"

GATHER_SECONDS = 0.1
"""While a request is under way, a text waits so long for company. A request takes 80 ms at best and
seconds at worst, and costs the provider about the same for one text as for sixty."""

LINGER_SECONDS = 0.005
CONNECT_SECONDS = 10.0
PROBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, and what each of them says besides the texts.

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

    @property
    def root(self) -> str:
        """The API's base URL."""
        return api_root(self.base_url)

    @property
    def headers(self) -> dict[str, str]:
        """Authorisation and attribution."""
        headers = {"X-OpenRouter-Title": self.title}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if self.referer:
            headers["HTTP-Referer"] = self.referer
        return headers


class OpenAICompatibleEmbedder:
    """An Embedder that asks a provider over HTTP, once for each batch; it does not retry."""

    def __init__(
        self, endpoint: Endpoint, space: Space, limits: BatchLimits, timeout_seconds: float
    ) -> None:
        self.space = space
        self.limits = limits
        self._endpoint = endpoint
        self._client = httpx.AsyncClient(
            headers=endpoint.headers,
            timeout=httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)),
            limits=httpx.Limits(max_connections=limits.concurrency),
        )

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds one batch with one request.

        Raises:
            ProviderError: the request failed.
        """
        embeddings = await request(self._client, self._endpoint, texts)
        width = embeddings.vectors.shape[1]
        if width != self.space.dimensions:
            raise ProviderRefused(
                f"the model answers with {width} dimensions, but {self.space.dimensions} are "
                "expected: set AKIN_EMBEDDING_DIMENSIONS to a width that the model offers"
            )
        return embeddings

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()


async def probe(endpoint: Endpoint, timeout_seconds: float) -> int:
    """How wide the model's vectors are, learnt from one request.

    Raises:
        ProviderError: it failed, for a reason that every other request will meet.
    """
    timeout = min(timeout_seconds, PROBE_SECONDS)
    async with httpx.AsyncClient(headers=endpoint.headers, timeout=timeout) as client:
        embeddings = await request(client, endpoint, [HARMLESS_TEXT])
    return int(embeddings.vectors.shape[1])


async def request(
    client: httpx.AsyncClient, endpoint: Endpoint, texts: Sequence[str]
) -> Embeddings:
    """One request for the vectors of `texts`, of whatever width the provider gives them.

    Raises:
        ProviderError: it failed.
    """
    body = {
        "model": endpoint.model,
        "input": list(texts),
        "encoding_format": "float",
        **endpoint.parameters,
    }
    try:
        # The client's own timeout starts anew with every byte that arrives.
        async with asyncio.timeout(client.timeout.read):
            response = await client.post(
                f"{endpoint.root}/embeddings", json=body, headers=call_context.headers()
            )
    except (httpx.TimeoutException, TimeoutError) as exc:
        raise ProviderUnavailable("the provider did not answer in time") from exc
    except httpx.LocalProtocolError:
        # Its message quotes the header at fault, which may hold the key.
        raise ProviderRefused("a header, maybe the key, holds what HTTP does not allow") from None
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        # The message of a transport error may name the address, never a text or the key.
        raise ProviderUnavailable(f"no connection to the provider: {type(exc).__name__}") from exc
    headers = {name.lower(): value for name, value in response.headers.items()}
    return read(Answer(response.status_code, headers, response.content, time.time()), len(texts))


def slug(model: str) -> str:
    """A model's name as the API takes it: without the prefix that some tools put before it."""
    return model.removeprefix("openrouter/")


def api_root(base_url: str) -> str:
    """An API's base URL without a slash at its end; one that ends in /embeddings is taken too."""
    return base_url.rstrip("/").removesuffix("/embeddings").rstrip("/")
