"""Every setting, with its default and unit; the only reader of the environment."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as MalformedSettings

PREFIX = "AKIN_"
ENV_FILE = ".env"


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > LAST_PORT:
        raise ValueError("must be host:port, with a port from 0 to 65535")
    return value


LAST_PORT = 65_535
Address = Annotated[str, AfterValidator(_address)]
Slugs = list[Annotated[str, Field(min_length=1)]] | None
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
File = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
RankingName = Literal["pooled", "nearest", "mean"]
Template = Annotated[str, Field(pattern=r"(?s)\{text\}")]
# What HTTP headers take. A key that was read from a file often ends in a newline.
Key = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[!-~]*$")]
Header = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -~]*$")]


class SettingsError(Exception):
    """One or more settings are wrong; the message has a line for each."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Percentiles(_Strict):
    """A bound for each of several percentiles of a provider's recent figures."""

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


class SortBy(_Strict):
    """What OpenRouter sorts providers by, within a model or over all."""

    by: Literal["price", "throughput", "latency", "exacto"]
    partition: Literal["model", "none"] | None = None


class MaxPrice(_Strict):
    """The most to pay, in US dollars per million tokens (requests and images: each)."""

    prompt: float | str | None = None
    completion: float | str | None = None
    image: float | str | None = None
    audio: float | str | None = None
    request: float | str | None = None


class ProviderPreferences(_Strict):
    """OpenRouter's `provider` object: which upstreams may serve, in the API's own words."""

    order: Slugs = None
    only: Slugs = None
    ignore: Slugs = None
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


class Settings(BaseSettings):
    """Settings come from environment variables with the prefix AKIN_, or from a file .env."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True, populate_by_name=True
    )

    listen: Address = Field(
        "127.0.0.1:50051", description="host:port to serve on; port 0 takes a free one"
    )
    data_dir: Path = Field(Path("data"), description="folder of the database, made if need be")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="processes that serve on the address, over the same data"
    )
    shutdown_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        8.0, description="how long calls under way may go on after SIGTERM or SIGINT"
    )
    tls_certificate: File = Field(
        None, description="PEM file with the server's certificate and its chain; none for no TLS"
    )
    tls_key: File = Field(None, description="PEM file with the certificate's key")
    tls_client_authority: File = Field(
        None, description="PEM file with whose certificates clients must show; none asks for none"
    )
    api_keys: File = Field(
        None, description="JSON file with the hashes of callers' keys; none lets in everybody"
    )
    reflection: bool = Field(True, description="whether to tell callers what services there are")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least severe log lines to write; `info` has one for each call"
    )
    metrics_listen: Address | Literal[""] = Field(
        "",
        description="host:port for Prometheus metrics, the next ports for further workers; empty "
        "for none",
    )
    health_listen: Address | Literal[""] = Field(
        "",
        description="host:port that answers health only, plainly, for probes that speak no TLS, "
        "the next ports for further workers; empty for none",
    )
    traces_endpoint: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = Field(
        "", description="URL of a collector of traces, OTLP over HTTP; empty for none"
    )
    ranking: RankingName = Field(
        "pooled",
        description="how several tastes become one score: a soft maximum (`pooled`), the `nearest` "
        "taste, or their `mean`; `akin evaluate` compares them",
    )
    index_vectors: Literal["float32", "float16"] = Field(
        "float32",
        description="how large catalogues keep vectors in memory; `float16` takes half of it",
    )
    prior_attribute: str = Field(
        "",
        description="numeric attribute, such as a rating, whose higher values lift items for users "
        "and examples; empty for none",
    )
    prior_weight: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.2, description="how far the best score may be from the worst by that attribute alone"
    )
    embedder: Literal["auto", "local", "openrouter", "openai"] = Field(
        "auto",
        description="who embeds: the embedded model (`local`), OpenRouter, or any endpoint with "
        "OpenAI's API (`openai`); `auto` is OpenRouter if there is a key for it, else `local`",
    )
    openrouter_api_key: Key = Field(
        "", validation_alias="OPENROUTER_API_KEY", repr=False, description="key for OpenRouter"
    )
    embedding_api_key: Key = Field(
        "", repr=False, description="key for the endpoint of `openai`; empty for none"
    )
    embedding_model: Annotated[str, Field(min_length=1)] = Field(
        "openai/text-embedding-3-small", description="model that the provider shall use"
    )
    embedding_dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        None, description="width to ask the model for; by default its own"
    )
    embedding_base_url: Annotated[str, Field(pattern=r"^https?://.+")] = Field(
        "https://openrouter.ai/api/v1", description="the provider's API"
    )
    embedding_provider: ProviderPreferences | None = Field(
        None, description="OpenRouter's provider preferences, as JSON"
    )
    embedding_input_type: str = Field(
        "", description="`input_type` of every request, where a model wants one"
    )
    embedding_user: str = Field("", description="`user` of every request, for the provider's books")
    embedding_referer: Header = Field("", description="your site, for OpenRouter's app attribution")
    embedding_title: Header = Field(
        "Akin", description="your app, for OpenRouter's app attribution"
    )
    embedding_template: Template | None = Field(
        None,
        description="what goes around an item's text, with `{text}` in it; by default the "
        "model family's",
    )
    embedding_query_template: Template | None = Field(
        None, description="the same for texts and tastes that items are looked for with"
    )
    embedding_text_tokens: Annotated[int, Field(ge=16, le=1_000_000)] | None = Field(
        None, description="longest text to embed in one piece; by default the model's context"
    )
    embedding_batch_texts: Annotated[int, Field(ge=1, le=2048)] = Field(
        64, description="most texts in one request"
    )
    embedding_batch_tokens: Annotated[int, Field(ge=16, le=300_000)] = Field(
        100_000, description="most tokens in one request, estimated"
    )
    embedding_concurrency: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="most requests at once; fewer when the provider limits our rate"
    )
    embedding_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        60.0, description="how long one request may take"
    )
    embedding_budget_usd_per_day: Annotated[float, Field(ge=0)] | None = Field(
        None, description="most to spend on embedding in a day of UTC; by default no bound"
    )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        host = self.listen.rpartition(":")[0].strip("[]")
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def provider_kind(self) -> Literal["local", "openrouter", "openai"]:
        """Who embeds, with `auto` resolved."""
        if self.embedder == "auto":
            return "openrouter" if self.openrouter_api_key else "local"
        return self.embedder

    @property
    def provider_key(self) -> str:
        """The key for whoever embeds."""
        return (
            self.openrouter_api_key
            if self.provider_kind == "openrouter"
            else self.embedding_api_key
        )

    @property
    def request_parameters(self) -> dict[str, Any]:
        """What every embedding request says besides the model and the texts."""
        given: dict[str, Any] = {
            "dimensions": self.embedding_dimensions,
            "input_type": self.embedding_input_type or None,
            "user": self.embedding_user or None,
        }
        if self.embedding_provider is not None:
            given["provider"] = self.embedding_provider.model_dump(exclude_none=True)
        return {name: value for name, value in given.items() if value is not None}


def load() -> Settings:
    """Reads the settings.

    Raises:
        SettingsError: with every bad value and every unknown AKIN_ name.
    """
    problems = [f"{name}: there is no such setting" for name in _unknown_names()]
    settings = None
    try:
        settings = Settings()
    except ValidationError as exc:
        for each in exc.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in each["loc"])
            problems.append(f"{_variable(name)}: {each['msg']}")
    except MalformedSettings as exc:
        problems.append(f"{exc}: {exc.__cause__}")
    if settings is not None and settings.embedder == "openrouter" and not settings.provider_key:
        problems.append("OPENROUTER_API_KEY: must be set for AKIN_EMBEDDER=openrouter")
    if settings is not None and settings.embedder == "openai":
        needed = {"embedding_base_url", "embedding_model"} - settings.model_fields_set
        problems += [f"{_variable(name)}: must be set for AKIN_EMBEDDER=openai" for name in needed]
    if settings is not None:
        problems += [*_tls_problems(settings), *_port_problems(settings)]
    if problems or settings is None:
        raise SettingsError("\n".join(problems))
    return settings


def _tls_problems(settings: Settings) -> list[str]:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        return ["AKIN_TLS_CERTIFICATE, AKIN_TLS_KEY: both must be set, or none"]
    if settings.tls_client_authority is not None and settings.tls_key is None:
        return ["AKIN_TLS_CLIENT_AUTHORITY: needs AKIN_TLS_CERTIFICATE and AKIN_TLS_KEY"]
    return []


def _port_problems(settings: Settings) -> list[str]:
    """What stands against a port of its own for each worker."""
    given = {
        "AKIN_METRICS_LISTEN": settings.metrics_listen,
        "AKIN_HEALTH_LISTEN": settings.health_listen,
    }
    last = {name: address.rpartition(":")[2] for name, address in given.items() if address}
    return [
        f"{name}: leaves no port for each of {settings.workers} workers"
        for name, port in last.items()
        if int(port) + settings.workers - 1 > LAST_PORT
    ]


def names() -> dict[str, str]:
    """The environment variable of each setting."""
    return {
        name: str(field.validation_alias or _variable(name))
        for name, field in Settings.model_fields.items()
    }


def _variable(name: str) -> str:
    field, dot, rest = name.partition(".")
    if field in Settings.model_fields:
        return PREFIX + field.upper() + dot + rest
    return name


def _unknown_names() -> list[str]:
    known = set(names().values())
    given = {name.upper() for name in (*os.environ, *dotenv_values(ENV_FILE))}
    return sorted(name for name in given if name.startswith(PREFIX) and name not in known)
