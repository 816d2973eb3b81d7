"""Opens embedders: for the model of the settings, and for the models of catalogs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

import stamina
import structlog

from service import errors
from service.domain.spaces import INPUT_TYPE_SEPARATOR, Model, ModelChoice, Space
from service.domain.usage import TokenUsage
from service.domain.violations import Violation
from service.embedding.embedder import BatchLimits, Embedder
from service.embedding.errors import (
    NO_PROBLEM,
    EmbeddingProblem,
    ProviderError,
    ProviderUnavailable,
    to_problem,
    to_service_error,
)
from service.embedding.local import (
    LOCAL_BATCH_SECONDS,
    LOCAL_DIMENSIONS,
    LocalEmbedder,
    choose_local_model,
)
from service.embedding.model_families import DEFAULT_DIMENSIONS, PLAIN_TEMPLATE, find_family
from service.embedding.model_list import fetch_models
from service.embedding.openai_compatible import (
    BUSY_LINGER_SECONDS,
    LINGER_SECONDS,
    Endpoint,
    OpenAICompatibleEmbedder,
    Probe,
    probe_dimensions,
    strip_model_prefix,
)
from service.embedding.unavailable import UnavailableEmbedder, explain_missing_access
from service.settings import Settings

# Bounds the check of a model whose dimensions are known, because the server can serve without it.
CHECK_TIMEOUT_SECONDS = 10.0

# The share of a model's context that a chunk may fill, because token counts are estimates.
MAX_CONTEXT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class PricedEmbedder:
    """An open embedder, a function that returns its price, and the outcome of its first request.

    `problem` is why the request failed, and `usage` what it cost.
    """

    embedder: Embedder
    fetch_usd_per_token: Callable[[], Awaitable[float]]
    problem: EmbeddingProblem = NO_PROBLEM
    usage: TokenUsage = field(default_factory=TokenUsage)


class ModelPrice:
    """A model's price, fetched from the provider's list once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._usd_per_token: float | None = None

    async def fetch_usd_per_token(self) -> float:
        """Return the price in US dollars; 0 if the provider does not list it."""
        if self._usd_per_token is None:
            try:
                models = await fetch_models(self._endpoint.root)
            except ProviderError:
                return 0.0
            prices = {model.model: model.usd_per_million_tokens for model in models}
            self._usd_per_token = (prices.get(self._endpoint.model) or 0.0) / 1e6
        return self._usd_per_token


@dataclass(frozen=True, slots=True)
class ProbedModel:
    """A model that responded, how many seconds a request to it takes, and what that one cost."""

    model: Model
    request_seconds: float
    usage: TokenUsage = field(default_factory=TokenUsage)


def make_default_model(settings: Settings, space: Space) -> Model:
    """Return the model of the settings, whose embedder turned out to have this space."""
    is_local = settings.provider_kind == "local"
    return Model(space, None if is_local else settings.embedding_dimensions)


def open_embedder(settings: Settings, model: Model) -> PricedEmbedder:
    """Return an embedder for a model that has been used before; sends no request.

    If the settings give no access to the model, the embedder refuses every batch, with a remedy.
    """
    space = model.space
    if space.is_local:
        local = LocalEmbedder(space.template, space.query_template, choose_local_model(space))
        if local.space == space:
            return PricedEmbedder(local, _return_no_price)
    if space.is_local or space.provider != settings.remote_kind:
        message = explain_missing_access(settings, space)
        return PricedEmbedder(UnavailableEmbedder(space, message), _return_no_price)
    endpoint = _make_endpoint(settings, space.model, model.requested_dimensions)
    return _open_remote(settings, endpoint, space)


def _open_remote(settings: Settings, endpoint: Endpoint, space: Space) -> PricedEmbedder:
    embedder = OpenAICompatibleEmbedder(
        endpoint, space, _make_limits(settings, space.model), settings.embedding_timeout_seconds
    )
    return PricedEmbedder(embedder, ModelPrice(endpoint).fetch_usd_per_token)


async def probe_model(settings: Settings, choice: ModelChoice) -> ProbedModel:
    """Return the model that a caller chose, after one request that checks it.

    Raises:
        InvalidRequest: this server does not offer the model.
        EmbeddingRejected: the provider refuses the model.
        EmbeddingUnavailable: the provider does not respond.
    """
    kind = choice.provider or settings.provider_kind
    errors.raise_if_invalid(_choice_violations(settings, choice, kind))
    if kind == "local":
        templates = choice.template or PLAIN_TEMPLATE, choice.query_template or PLAIN_TEMPLATE
        loop = asyncio.get_running_loop()
        embedder = await loop.run_in_executor(None, LocalEmbedder, *templates)
        return ProbedModel(Model(embedder.space), LOCAL_BATCH_SECONDS)
    requested = choice.dimensions or (None if choice.model else settings.embedding_dimensions)
    space = _make_space(settings, requested or 0, choice)
    started = time.perf_counter()
    try:
        endpoint = _make_endpoint(settings, space.model, requested)
        dimensions, usage = await probe_dimensions(endpoint, settings.embedding_timeout_seconds)
    except ProviderError as exc:
        raise to_service_error(exc) from exc
    if requested and dimensions != requested:
        raise errors.EmbeddingRejected(
            f"the model returns {dimensions} dimensions instead of {requested}"
        )
    model = Model(replace(space, dimensions=dimensions), requested)
    return ProbedModel(model, time.perf_counter() - started, usage)


def _choice_violations(settings: Settings, choice: ModelChoice, kind: str) -> Iterator[Violation]:
    providers = ["local"] if settings.remote_kind is None else ["local", settings.remote_kind]
    if kind not in providers:
        yield Violation("embedding.provider", f"must be {' or '.join(providers)}")
    if kind == "local" and choice.model:
        yield Violation("embedding.model", "must be empty for local, which has one model")
    if kind == "local" and choice.dimensions not in {0, LOCAL_DIMENSIONS}:
        yield Violation("embedding.dimensions", f"must be 0 or {LOCAL_DIMENSIONS} for local")


async def _return_no_price() -> float:
    return 0.0


async def open_default_embedder(settings: Settings, stored: Space | None) -> PricedEmbedder:
    """Return the embedder of the settings' model; a provider is probed with one request.

    If the provider does not respond, calls without new texts can still be served, as long as the
    number of dimensions is known from the settings, the stored space or the model's card. Otherwise
    requests are repeated until the provider responds.

    Args:
        settings: the model and its provider.
        stored: the space of the stored vectors, if there are any.

    Raises:
        EmbeddingRejected: the number of dimensions is unknown, and the provider refuses to tell.
    """
    if settings.provider_kind == "local":
        # In a thread, because the model is read from disk.
        loop = asyncio.get_running_loop()
        templates = PLAIN_TEMPLATE, PLAIN_TEMPLATE
        model = choose_local_model(stored)
        local = await loop.run_in_executor(None, LocalEmbedder, *templates, model)
        return PricedEmbedder(local, _return_no_price)
    space = _make_space(settings, 0, ModelChoice())
    endpoint = _make_endpoint(settings, space.model, settings.embedding_dimensions)
    dimensions = _find_dimensions(settings, endpoint, space, stored)
    problem = NO_PROBLEM
    if dimensions is None:
        probe = await _wait_for_dimensions(settings, endpoint)
    else:
        probe, problem = await _check_dimensions(settings, endpoint, dimensions)
    opened = _open_remote(settings, endpoint, replace(space, dimensions=probe.dimensions))
    return replace(opened, problem=problem, usage=probe.usage)


async def _check_dimensions(
    settings: Settings, endpoint: Endpoint, dimensions: int
) -> tuple[Probe, EmbeddingProblem]:
    """Return the number of dimensions to use, and why a first request fails or disagrees."""
    timeout = min(settings.embedding_timeout_seconds, CHECK_TIMEOUT_SECONDS)
    try:
        probe = await probe_dimensions(endpoint, timeout)
    except ProviderError as exc:
        return Probe(dimensions, exc.usage), to_problem(exc)
    requested = settings.embedding_dimensions
    if requested is None or probe.dimensions == requested:
        return probe, NO_PROBLEM
    message = (
        f"the model {endpoint.model} returns {probe.dimensions} dimensions, but "
        f"AKIN_EMBEDDING_DIMENSIONS is {requested}"
    )
    problem = EmbeddingProblem(errors.EmbeddingRejected.reason, message)
    return Probe(requested, probe.usage), problem


async def _wait_for_dimensions(settings: Settings, endpoint: Endpoint) -> Probe:
    """Return the number of dimensions of the model once the provider responds.

    Raises:
        EmbeddingRejected: the provider refuses the request.
    """

    def should_retry(exc: Exception) -> bool:
        if isinstance(exc, ProviderUnavailable):
            structlog.get_logger().warning("embedding_provider_not_ready", problem=exc.message)
        return isinstance(exc, ProviderUnavailable)

    try:
        async for attempt in stamina.retry_context(
            on=should_retry, attempts=None, timeout=None, wait_initial=1.0, wait_max=10.0
        ):
            with attempt:
                return await probe_dimensions(endpoint, settings.embedding_timeout_seconds)
    except ProviderError as exc:
        raise errors.EmbeddingRejected(
            f"the dimensions of the model {endpoint.model} are unknown, because a request to it "
            f"failed: {exc.message}. Fix this, or set AKIN_EMBEDDING_DIMENSIONS"
        ) from exc
    raise AssertionError("attempts are repeated without end")


def _find_dimensions(
    settings: Settings, endpoint: Endpoint, space: Space, stored: Space | None
) -> int | None:
    """Return the number of dimensions without a request; None if it is unknown."""
    if settings.embedding_dimensions is not None:
        return settings.embedding_dimensions
    if stored is not None and replace(stored, dimensions=0) == space:
        return stored.dimensions
    return DEFAULT_DIMENSIONS.get(endpoint.model.lower())


def _make_endpoint(settings: Settings, model: str, dimensions: int | None) -> Endpoint:
    """Return the endpoint for a model by its name in a space."""
    name, _, input_type = model.partition(INPUT_TYPE_SEPARATOR)
    model_parameters = {"dimensions": dimensions, "input_type": input_type or None}
    parameters = settings.request_parameters | model_parameters
    assert settings.remote_kind is not None  # noqa: S101  (callers have checked the provider)
    return Endpoint(
        kind=settings.remote_kind,
        base_url=settings.embedding_base_url,
        model=name,
        api_key=settings.provider_key,
        parameters={key: value for key, value in parameters.items() if value is not None},
        referer=settings.embedding_referer,
        title=settings.embedding_title,
    )


def _make_space(settings: Settings, dimensions: int, choice: ModelChoice) -> Space:
    """Return the space of a model; fields that the choice leaves out come from the settings."""
    family = find_family(choice.model or settings.embedding_model)
    template, query_template = choice.template, choice.query_template
    if not choice.model:
        template = template or settings.embedding_template or ""
        query_template = query_template or settings.embedding_query_template or ""
    model = strip_model_prefix(choice.model or settings.embedding_model)
    if settings.embedding_input_type:
        model = f"{model}{INPUT_TYPE_SEPARATOR}{settings.embedding_input_type}"
    assert settings.remote_kind is not None  # noqa: S101  (callers have checked the provider)
    return Space(
        settings.remote_kind,
        model,
        dimensions,
        template or family.template,
        query_template or family.query_template,
    )


def _make_limits(settings: Settings, model: str) -> BatchLimits:
    context_tokens = find_family(model).context_tokens
    text_tokens = settings.embedding_text_tokens or int(MAX_CONTEXT_SHARE * context_tokens)
    return BatchLimits(
        texts=settings.embedding_batch_texts,
        tokens=max(settings.embedding_batch_tokens, text_tokens),
        text_tokens=text_tokens,
        concurrency=settings.embedding_concurrency,
        linger_seconds=LINGER_SECONDS,
        busy_linger_seconds=BUSY_LINGER_SECONDS,
        # An embedder may send two requests for a batch; see `OpenAICompatibleEmbedder.embed`.
        seconds=2 * settings.embedding_timeout_seconds,
    )
