"""The embedding provider that the settings ask for: its space, its limits, its first answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from service import errors
from service.domain.values import Space
from service.embedding.base import BatchLimits, Embedder
from service.embedding.failures import ProviderError
from service.embedding.listing import embedding_models
from service.embedding.local import LocalEmbedder
from service.embedding.models import WIDTHS, family
from service.embedding.openrouter import (
    GATHER_SECONDS,
    LINGER_SECONDS,
    Endpoint,
    OpenRouterEmbedder,
    probe,
    slug,
)
from service.settings import Settings

CONTEXT_SHARE = 0.9
"""Token counts are estimates: texts stay so far below a model's context."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An embedder, what its price is, and why the first request failed; empty if it did not."""

    embedder: Embedder
    usd_per_token: Callable[[], Awaitable[float]]
    problem: str = ""


class Price:
    """A model's price, asked from the provider's list when it is first wanted."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._usd_per_token: float | None = None

    async def usd_per_token(self) -> float:
        """The price, 0 where the provider does not tell."""
        if self._usd_per_token is None:
            try:
                listed = await embedding_models(self._endpoint.root)
            except ProviderError:
                return 0.0
            prices = {each.model: each.usd_per_million_tokens for each in listed}
            self._usd_per_token = (prices.get(self._endpoint.model) or 0.0) / 1e6
        return self._usd_per_token


def local_provider() -> Provider:
    """The embedded model, which costs nothing."""

    async def free() -> float:
        return 0.0

    return Provider(LocalEmbedder(), free)


async def open_provider(settings: Settings, stored: Space | None) -> Provider:
    """Asks the provider for one vector and makes the embedder.

    The width comes from the settings, or else from that vector. Where the provider cannot be asked,
    it is the stored one or a well-known one, so that what needs no provider can be served.

    Args:
        settings: what to use.
        stored: the space of the vectors on disk, if there are any.

    Raises:
        EmbeddingUnavailable: nobody knows how wide the vectors will be.
    """
    endpoint = _endpoint(settings)
    space = _space(settings, 0)
    known = settings.embedding_dimensions or WIDTHS.get(endpoint.model.lower())
    if stored is not None and replace(stored, dimensions=0) == space:
        known = settings.embedding_dimensions or stored.dimensions
    width, problem = known, ""
    try:
        answered = await probe(endpoint, settings.embedding_timeout_seconds)
    except ProviderError as exc:
        problem = exc.message
    else:
        width = settings.embedding_dimensions or answered
        if width != answered:
            problem = (
                f"the model {endpoint.model} answers with {answered} dimensions, but "
                f"AKIN_EMBEDDING_DIMENSIONS is {width}"
            )
    if width is None:
        raise errors.EmbeddingUnavailable(
            f"cannot tell how wide the vectors of {endpoint.model} are, for {problem}: mend that, "
            "or set AKIN_EMBEDDING_DIMENSIONS"
        )
    made = OpenRouterEmbedder(
        endpoint,
        replace(space, dimensions=width),
        _limits(settings),
        settings.embedding_timeout_seconds,
    )
    return Provider(made, Price(endpoint).usd_per_token, problem)


def _endpoint(settings: Settings) -> Endpoint:
    return Endpoint(
        kind=settings.provider_kind,
        base_url=settings.embedding_base_url,
        model=slug(settings.embedding_model),
        api_key=settings.provider_key,
        parameters=settings.request_parameters,
        referer=settings.embedding_referer,
        title=settings.embedding_title,
    )


def _space(settings: Settings, dimensions: int) -> Space:
    known = family(settings.embedding_model)
    template = settings.embedding_template or known.template
    query_template = settings.embedding_query_template or known.query_template
    model = slug(settings.embedding_model)
    if settings.embedding_input_type:
        model = f"{model}#{settings.embedding_input_type}"
    return Space(settings.provider_kind, model, dimensions, template, query_template)


def _limits(settings: Settings) -> BatchLimits:
    context = family(settings.embedding_model).context_tokens
    text_tokens = settings.embedding_text_tokens or int(CONTEXT_SHARE * context)
    return BatchLimits(
        texts=settings.embedding_batch_texts,
        tokens=max(settings.embedding_batch_tokens, text_tokens),
        text_tokens=text_tokens,
        concurrency=settings.embedding_concurrency,
        linger_seconds=LINGER_SECONDS,
        gather_seconds=GATHER_SECONDS,
    )
