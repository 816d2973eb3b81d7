"""Embedders for the settings' model, and for models that catalogs have of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from service import errors
from service.domain.spaces import Model, ModelChoice, Space
from service.domain.violations import Violation
from service.embedding.embedder import BatchLimits, Embedder
from service.embedding.errors import ProviderError, for_callers
from service.embedding.local import LOCAL_DIMENSIONS, REQUEST_SECONDS, LocalEmbedder
from service.embedding.model_families import BARE, WIDTHS, family
from service.embedding.model_list import embedding_models
from service.embedding.openai_compatible import (
    GATHER_SECONDS,
    LINGER_SECONDS,
    Endpoint,
    OpenAICompatibleEmbedder,
    probe,
    slug,
)
from service.embedding.unavailable import UnavailableEmbedder
from service.settings import Settings

INPUT_TYPE = "#"
"""Stands between a model's name and its `input_type` in a space."""

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


@dataclass(frozen=True, slots=True)
class Asked:
    """A model that a caller asked for, and how many seconds one request to it took."""

    model: Model
    request_seconds: float


def default_model(settings: Settings, provider: Provider) -> Model:
    """The model of the settings, as its provider turned out to be."""
    local = settings.provider_kind == "local"
    return Model(provider.embedder.space, None if local else settings.embedding_dimensions)


def open_model(settings: Settings, model: Model) -> Provider:
    """An embedder for a model that vectors are there of; asks nothing yet.

    Where the settings are for another provider, every request is refused, and says why.
    """
    space = model.space
    if space.provider == "local":
        local = LocalEmbedder(space.template, space.query_template)
        if local.space == space:
            return Provider(local, _free)
        return Provider(
            UnavailableEmbedder(space, "this version has another embedded model"), _free
        )
    if space.provider != settings.provider_kind:
        why = f"AKIN_EMBEDDER is not {space.provider}, which the catalog is embedded with"
        return Provider(UnavailableEmbedder(space, why), _free)
    endpoint = _endpoint(settings, space.model, model.dimensions_asked)
    made = OpenAICompatibleEmbedder(
        endpoint, space, _limits(settings, space.model), settings.embedding_timeout_seconds
    )
    return Provider(made, Price(endpoint).usd_per_token)


async def asked_model(settings: Settings, choice: ModelChoice) -> Asked:
    """The model that a caller asks for, after one request to see that it is there.

    Raises:
        InvalidRequest: it cannot be had here.
        EmbeddingRejected: the provider refuses it.
        EmbeddingUnavailable: the provider does not answer.
    """
    kind = choice.provider or settings.provider_kind
    errors.require(_choice_violations(settings, choice, kind))
    if kind == "local":
        templates = choice.template or BARE, choice.query_template or BARE
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(None, LocalEmbedder, *templates)
        return Asked(Model(made.space), REQUEST_SECONDS)
    asked = choice.dimensions or (None if choice.model else settings.embedding_dimensions)
    space = _space(settings, asked or 0, choice)
    started = time.perf_counter()
    try:
        endpoint = _endpoint(settings, space.model, asked)
        width = await probe(endpoint, settings.embedding_timeout_seconds)
    except ProviderError as exc:
        raise for_callers(exc) from exc
    if asked and width != asked:
        raise errors.EmbeddingRejected(f"the model answers with {width} dimensions, not {asked}")
    return Asked(Model(replace(space, dimensions=width), asked), time.perf_counter() - started)


def _choice_violations(settings: Settings, choice: ModelChoice, kind: str) -> Iterator[Violation]:
    if kind not in {"local", settings.provider_kind}:
        yield Violation("embedding.provider", f"must be local or {settings.provider_kind}")
    if kind == "local" and choice.model:
        yield Violation("embedding.model", "must be empty for local, which has one model")
    if kind == "local" and choice.dimensions not in {0, LOCAL_DIMENSIONS}:
        yield Violation("embedding.dimensions", f"must be 0 or {LOCAL_DIMENSIONS} for local")


async def _free() -> float:
    return 0.0


def local_provider() -> Provider:
    """The embedded model, which costs nothing."""
    return Provider(LocalEmbedder(), _free)


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
    space = _space(settings, 0, ModelChoice())
    endpoint = _endpoint(settings, space.model, settings.embedding_dimensions)
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
    made = OpenAICompatibleEmbedder(
        endpoint,
        replace(space, dimensions=width),
        _limits(settings, space.model),
        settings.embedding_timeout_seconds,
    )
    return Provider(made, Price(endpoint).usd_per_token, problem)


def _endpoint(settings: Settings, model: str, dimensions: int | None) -> Endpoint:
    """Where to ask for a model by the name in its space."""
    name, _, input_type = model.partition(INPUT_TYPE)
    own = {"dimensions": dimensions, "input_type": input_type or None}
    parameters = settings.request_parameters | own
    return Endpoint(
        kind=settings.provider_kind,
        base_url=settings.embedding_base_url,
        model=name,
        api_key=settings.provider_key,
        parameters={name: each for name, each in parameters.items() if each is not None},
        referer=settings.embedding_referer,
        title=settings.embedding_title,
    )


def _space(settings: Settings, dimensions: int, choice: ModelChoice) -> Space:
    """The space of a model; what the choice leaves out is as in the settings."""
    known = family(choice.model or settings.embedding_model)
    template, query_template = choice.template, choice.query_template
    if not choice.model:
        template = template or settings.embedding_template or ""
        query_template = query_template or settings.embedding_query_template or ""
    model = slug(choice.model or settings.embedding_model)
    if settings.embedding_input_type:
        model = f"{model}{INPUT_TYPE}{settings.embedding_input_type}"
    return Space(
        settings.provider_kind,
        model,
        dimensions,
        template or known.template,
        query_template or known.query_template,
    )


def _limits(settings: Settings, model: str) -> BatchLimits:
    context = family(model).context_tokens
    text_tokens = settings.embedding_text_tokens or int(CONTEXT_SHARE * context)
    return BatchLimits(
        texts=settings.embedding_batch_texts,
        tokens=max(settings.embedding_batch_tokens, text_tokens),
        text_tokens=text_tokens,
        concurrency=settings.embedding_concurrency,
        linger_seconds=LINGER_SECONDS,
        gather_seconds=GATHER_SECONDS,
    )
