"""Every setting, with its default and unit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as MalformedSettings

from service.domain import limits
from service.domain.addresses import find_host, is_loopback
from service.domain.lexical import DEFAULT_LEXICAL_WEIGHT
from service.domain.provider_preferences import ProviderPreferences
from service.environment import (
    ENV_FILE,
    ENV_FILE_ENCODING,
    list_empty_variables,
)
from service.setting_types import (
    ApiKey,
    DataFolder,
    EngineUrl,
    HeaderValue,
    ListenAddress,
    OptionalFile,
    RankingName,
    StoreAddress,
    TextTemplate,
)

PREFIX = "AKIN_"


class Settings(BaseSettings):
    """The settings, from environment variables with the prefix AKIN_ or from the file .env."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding=ENV_FILE_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    listen: ListenAddress = Field(
        "127.0.0.1:50051",
        description="Address that the server listens on. Port 0 picks a free port.",
    )
    http_listen: ListenAddress | Literal[""] = Field(
        "",
        description="Address of the methods as JSON over HTTP, with the TLS files and the API keys "
        "of the server. Requires the extra `http` of the package. Unset: no HTTP.",
    )
    console_listen: ListenAddress | Literal[""] = Field(
        "",
        description="Address of the web console, which also serves the methods as JSON over HTTP. "
        "Requires the extra `http` of the package. Unset: no console.",
    )
    data_dir: DataFolder = Field(
        Path("data"),
        description="Folder of the database, or only of derived data with `AKIN_STORE`. "
        "The server creates the folder if it does not exist.",
    )
    store: StoreAddress = Field(
        "",
        repr=False,
        description="Address of the PostgreSQL database that keeps the data, such as "
        "`postgresql://akin@host/akin`. libpq's options and environment variables apply. Unset: a "
        "database file in the data folder.",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Number of server processes. All workers listen on the same address and "
        "use the same data.",
    )
    shutdown_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        8.0, description="Time that running calls have to finish after SIGTERM or SIGINT."
    )
    tls_certificate: OptionalFile = Field(
        None,
        description="PEM file with the server's certificate chain. Unset: the server does not "
        "use TLS.",
    )
    tls_key: OptionalFile = Field(
        None,
        description="PEM file with the private key of the server's certificate. Required with "
        "`AKIN_TLS_CERTIFICATE`.",
    )
    tls_client_authority: OptionalFile = Field(
        None,
        description="CA bundle for verifying client certificates (mTLS). Unset: client "
        "certificates are not requested.",
    )
    api_keys: OptionalFile = Field(
        None,
        description="JSON file with the hashes of the valid API keys. Unset: callers need no key.",
    )
    reflection: bool = Field(
        True,
        description="Enables gRPC server reflection, which lets generic clients work without "
        "stubs.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum severity of log lines. `info` includes one line for each call."
    )
    metrics_listen: ListenAddress | Literal[""] = Field(
        "",
        description="Address of the Prometheus metrics of all workers. Unset: no metrics.",
    )
    health_listen: ListenAddress | Literal[""] = Field(
        "",
        description="Second address for health checks, without TLS, for probes that cannot "
        "use TLS. Each further worker uses the next port. Unset: no second "
        "address.",
    )
    traces_endpoint: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = Field(
        "",
        description="Trace collector that accepts OTLP over HTTP. Unset: the server sends no "
        "traces.",
    )
    signals: Literal["auto", "text", "behavior"] = Field(
        "auto",
        description="Basis of recommendations for users and examples: text, and behavior where it "
        "predicts better (`auto`), `text` alone, or `behavior`. Catalogs can have their own.",
    )
    ranking: RankingName = Field(
        "pooled",
        description="How the similarities to several sources become one score: a soft maximum "
        "(`pooled`), the similarity to the nearest source (`nearest`), or the similarity to their "
        "mean vector (`mean`). `akin evaluate` compares the three. Catalogs can have their own.",
    )
    index_vectors: Literal["float32", "float16", "int8"] = Field(
        "float32",
        description="Number format of the vectors in the index of a large catalog. `float16` "
        "halves the memory of the vectors, and `int8` takes 0.31 of it; searches by text or "
        "vector then take about a quarter longer.",
    )
    index: Literal["memory", "shared"] = Field(
        "memory",
        description="Where the vectors of new catalogs are: in the memory of each server "
        "(`memory`), or in Qdrant for all servers (`shared`), which requires `AKIN_QDRANT_URL`. "
        "`akin reindex` changes the index of a catalog.",
    )
    qdrant_url: EngineUrl = Field(
        "",
        description="URL of Qdrant's gRPC port, such as `http://qdrant:6334`. A host with several "
        "addresses in DNS, or several IPv4 addresses with ports, separated by commas, are the "
        "machines of one cluster. Requires the extra `qdrant` of the package. Unset: no catalog "
        "can have a shared index.",
    )
    qdrant_api_key: ApiKey = Field(
        "", repr=False, description="API key for Qdrant. Unset: requests carry no key."
    )
    qdrant_replicas: Annotated[int, Field(ge=1, le=16)] = Field(
        1,
        description="Number of machines of Qdrant that keep each vector. With 2, one machine can "
        "fail without effect. It applies to indexes that are built later.",
    )
    qdrant_shards: Annotated[int, Field(ge=1, le=1_024)] | None = Field(
        None,
        description="Number of parts of a shared index, which Qdrant distributes over its "
        "machines. It applies to indexes that are built later. Unset: one for each machine.",
    )
    hybrid: bool = Field(
        False,
        description="Enables `lexical_weight` in requests: recommendations for texts and searches "
        "for passages then count exact words beside the similarity of meaning. The words of all "
        "texts are kept in memory.",
    )
    lexical_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        DEFAULT_LEXICAL_WEIGHT,
        description="Default of `lexical_weight` in requests, if `AKIN_HYBRID` is on. 0: words "
        "count only in requests that say so.",
    )
    prior_attribute: str = Field(
        "",
        description="Numeric attribute, such as a rating, that raises the scores of items "
        "with high values in recommendations for users and examples. Unset: "
        "attributes do not change scores. Catalogs can have their own.",
    )
    prior_weight: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.2,
        description="Score difference between the highest and the lowest value of "
        "`AKIN_PRIOR_ATTRIBUTE`. A negative weight favors low values.",
    )
    embedder: Literal["auto", "local", "openrouter", "openai"] = Field(
        "auto",
        description="Embedding provider: the local model (`local`), OpenRouter "
        "(`openrouter`), or any endpoint with the OpenAI API (`openai`). `auto` "
        "selects OpenRouter if `OPENROUTER_API_KEY` is set, and the local model "
        "otherwise.",
    )
    openrouter_api_key: ApiKey = Field(
        "", validation_alias="OPENROUTER_API_KEY", repr=False, description="API key for OpenRouter."
    )
    embedding_api_key: ApiKey = Field(
        "",
        repr=False,
        description="API key for the endpoint of `AKIN_EMBEDDER=openai`. Unset: requests "
        "carry no key.",
    )
    embedding_model: Annotated[str, Field(min_length=1)] = Field(
        "openai/text-embedding-3-small",
        description="Name of the embedding model in the provider's API.",
    )
    embedding_dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        None,
        description="Number of dimensions to request from the model. Unset: the model's default.",
    )
    embedding_base_url: Annotated[str, Field(pattern=r"^https?://.+")] = Field(
        "https://openrouter.ai/api/v1", description="Base URL of the provider's API."
    )
    embedding_provider: ProviderPreferences | None = Field(
        None,
        description="JSON object that tells OpenRouter which providers may serve the embedding "
        "requests. It becomes the field `provider` of every request. Unset: OpenRouter chooses.",
    )
    embedding_input_type: str = Field(
        "",
        description="Value of the field `input_type` in every embedding request. Some models "
        "require this field. Unset: requests do not have it.",
    )
    embedding_user: str = Field(
        "", description="Field `user` of every embedding request, for the provider's records."
    )
    embedding_referer: HeaderValue = Field(
        "", description="URL of your site, for OpenRouter's app attribution."
    )
    embedding_title: HeaderValue = Field(
        "Akin", description="Name of your app, for OpenRouter's app attribution."
    )
    embedding_template: TextTemplate | None = Field(
        None,
        description="Template around the text of an item. Unset: the template of the model's "
        "family.",
    )
    embedding_query_template: TextTemplate | None = Field(
        None,
        description="Template around query texts and preferences. Unset: the template of the "
        "model's family.",
    )
    embedding_text_tokens: Annotated[int, Field(ge=16, le=1_000_000)] | None = Field(
        None,
        description="Maximum number of tokens in a chunk; longer texts are split into chunks. "
        "Unset: the model's context length.",
    )
    embedding_batch_texts: Annotated[int, Field(ge=1, le=2048)] = Field(
        64, description="Maximum number of texts in one embedding request."
    )
    embedding_batch_tokens: Annotated[int, Field(ge=16, le=300_000)] = Field(
        100_000, description="Maximum number of tokens in one embedding request, estimated."
    )
    embedding_concurrency: Annotated[int, Field(ge=1, le=256)] = Field(
        8,
        description="Maximum number of concurrent embedding requests for a model, of all workers. "
        "Imports use up to seven eighths of them. The server sends fewer while the provider limits "
        "its rate.",
    )
    embedding_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        60.0, description="Timeout of one embedding request."
    )
    embedding_budget_usd_per_day: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="Maximum cost of embedding in one day (UTC), in US dollars. Unset: no limit.",
    )
    max_catalogs: Annotated[int, Field(ge=1, le=limits.CATALOGS)] = Field(
        limits.CATALOGS_DEFAULT,
        description="Maximum number of catalogs, including `default`. If there are more already, "
        "they stay, and no further one can be created.",
    )
    vector_retention_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        30,
        description="Time for which the database keeps vectors of a provider that no item and no "
        "preference uses any more, so that a text that comes back costs nothing; 10 minutes at "
        "least while the server runs. Unused vectors of the local model are removed at once.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings; an empty environment variable also hides that of .env."""
        del settings_cls, file_secret_settings
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            hidden_names = {name.lower() for name in list_empty_variables()}
            dotenv_settings.env_vars = {
                name: value
                for name, value in dotenv_settings.env_vars.items()
                if name not in hidden_names
            }
        return init_settings, env_settings, dotenv_settings

    @property
    def exposed_addresses(self) -> list[str]:
        """The addresses of the server that other machines can reach."""
        addresses = filter(None, (self.listen, self.http_listen, self.console_listen))
        return [address for address in addresses if not is_loopback(find_host(address))]

    @property
    def provider_kind(self) -> Literal["local", "openrouter", "openai"]:
        """The embedding provider, with `auto` resolved."""
        if self.embedder == "auto":
            return "openrouter" if self.openrouter_api_key else "local"
        return self.embedder

    @property
    def remote_kind(self) -> Literal["openrouter", "openai"] | None:
        """The provider that catalogs can choose besides the local model; None without access."""
        if self.provider_kind != "local":
            return self.provider_kind
        if self.openrouter_api_key:
            return "openrouter"
        has_endpoint = {"embedding_base_url", "embedding_model"} <= self.model_fields_set
        return "openai" if has_endpoint else None

    @property
    def provider_key(self) -> str:
        """The API key for the provider of `remote_kind`."""
        return (
            self.openrouter_api_key if self.remote_kind == "openrouter" else self.embedding_api_key
        )

    @property
    def request_parameters(self) -> dict[str, Any]:
        """The fields of every embedding request besides the model and the texts."""
        parameters: dict[str, Any] = {
            "dimensions": self.embedding_dimensions,
            "input_type": self.embedding_input_type or None,
            "user": self.embedding_user or None,
        }
        if self.embedding_provider is not None:
            parameters["provider"] = self.embedding_provider.model_dump(exclude_none=True)
        return {name: value for name, value in parameters.items() if value is not None}


def parse_variables() -> tuple[Settings | None, list[str]]:
    """Parse the variables of the settings, each by itself.

    Returns:
        The settings, None if a value is invalid; and a line for each invalid value.
    """
    try:
        return Settings(), []
    except ValidationError as exc:
        return None, [
            _explain(error["loc"], error["msg"])
            for error in exc.errors(include_input=False, include_url=False)
        ]
    except MalformedSettings as exc:
        return None, [f"{exc}: {exc.__cause__}"]


def read_certificate_variables() -> tuple[str, str]:
    """Return the file and the folder that replace the certificate authorities; empty if unset."""
    return os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", "")


def has_variable(name: str) -> bool:
    """Return whether an environment variable is set, such as one of libpq; it may be empty."""
    return name in os.environ


def list_variables() -> dict[str, str]:
    """Return the environment variable of each setting, by the name of the setting."""
    return {
        name: str(field.validation_alias or _to_variable(name))
        for name, field in Settings.model_fields.items()
    }


def _explain(location: tuple[int | str, ...], message: str) -> str:
    """Return the line for an invalid value: its variable, and what is wrong."""
    variable = _to_variable(".".join(map(str, location)))
    return f"{variable}: {message.removeprefix('Value error, ')}"


def _to_variable(name: str) -> str:
    field, dot, rest = name.partition(".")
    if field in Settings.model_fields:
        return PREFIX + field.upper() + dot + rest
    return name
