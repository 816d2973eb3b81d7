"""OpenRouter's preferences for upstream providers, with the field names of its API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ProviderSlugs = list[Annotated[str, Field(min_length=1)]] | None
Quantization = Literal[
    "int4",
    "int8",
    "fp4",
    "mxfp4",
    "nvfp4",
    "fp6",
    "fp8",
    "mxfp8",
    "fp16",
    "bf16",
    "fp32",
    "unknown",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Percentiles(_Strict):
    """Bounds for percentiles of a provider's recent latency or throughput."""

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


class SortBy(_Strict):
    """The property that OpenRouter sorts providers by, within each model or over all models."""

    by: Literal["price", "throughput", "latency", "exacto"]
    partition: Literal["model", "none"] | None = None


class MaxPrice(_Strict):
    """Maximum prices in US dollars: per million tokens, per request and per image."""

    prompt: float | str | None = None
    completion: float | str | None = None
    image: float | str | None = None
    audio: float | str | None = None
    request: float | str | None = None


class ProviderPreferences(_Strict):
    """OpenRouter's `provider` object, which selects the upstreams that may serve a request."""

    order: ProviderSlugs = None
    only: ProviderSlugs = None
    ignore: ProviderSlugs = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    enforce_distillable_text: bool | None = None
    quantizations: list[Quantization] | None = None
    sort: Literal["price", "throughput", "latency", "exacto"] | SortBy | None = None
    max_price: MaxPrice | None = None
    preferred_max_latency: float | Percentiles | None = None
    preferred_min_throughput: float | Percentiles | None = None
