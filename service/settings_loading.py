"""Loads the settings at the start of a command, and reports every problem at once."""

from __future__ import annotations

from collections.abc import Mapping

from service.environment import (
    CLIENT_VARIABLES,
    MAX_PORT,
    EnvFileError,
    find_http_problems,
    list_set_variables,
    read_env_file,
)
from service.settings import PREFIX, Settings, list_variables, parse_variables


class SettingsError(Exception):
    """One or more settings are invalid; the message has a line for each."""


def load_settings() -> Settings:
    """Return the settings.

    Raises:
        SettingsError: with every invalid value and every unknown AKIN_ variable.
    """
    try:
        env_file = read_env_file()
    except EnvFileError as exc:
        raise SettingsError(str(exc)) from None
    unknown_names = _find_unknown_variables(env_file)
    settings, invalid_values = parse_variables()
    problems = [f"{name}: there is no such setting" for name in unknown_names] + invalid_values
    if settings is not None:
        problems += [
            *_find_embedder_problems(settings),
            *_find_index_problems(settings),
            *_find_tls_problems(settings),
            *_find_port_problems(settings),
        ]
    if problems or settings is None:
        raise SettingsError("\n".join(problems))
    return settings


def check_http_variables(base_url: str) -> None:
    """Check the proxies and certificates of the environment, before requests to a URL.

    Raises:
        SettingsError: with a line for each variable that requests cannot use.
    """
    problems = list(find_http_problems(base_url))
    if problems:
        raise SettingsError("\n".join(problems))


def _find_embedder_problems(settings: Settings) -> list[str]:
    if settings.embedder == "openrouter" and not settings.provider_key:
        return ["OPENROUTER_API_KEY: must be set for AKIN_EMBEDDER=openrouter"]
    if settings.embedder == "openai":
        missing = {"embedding_base_url", "embedding_model"} - settings.model_fields_set
        variables = list_variables()
        return [f"{variables[name]}: must be set for AKIN_EMBEDDER=openai" for name in missing]
    return []


def _find_index_problems(settings: Settings) -> list[str]:
    if settings.index == "shared" and not settings.qdrant_url:
        return ["AKIN_QDRANT_URL: must be set for AKIN_INDEX=shared"]
    return []


def _find_tls_problems(settings: Settings) -> list[str]:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        return ["AKIN_TLS_CERTIFICATE, AKIN_TLS_KEY: both must be set, or none"]
    if settings.tls_client_authority is not None and settings.tls_key is None:
        return ["AKIN_TLS_CLIENT_AUTHORITY: requires AKIN_TLS_CERTIFICATE and AKIN_TLS_KEY"]
    return []


def _find_port_problems(settings: Settings) -> list[str]:
    """Return the problem of an address for probes that does not leave a port for each worker."""
    port = settings.health_listen.rpartition(":")[2]
    if not port or int(port) + settings.workers - 1 <= MAX_PORT:
        return []
    return [
        f"AKIN_HEALTH_LISTEN: the port must leave one port for each of {settings.workers} workers"
    ]


def _find_unknown_variables(env_file: Mapping[str, str]) -> list[str]:
    variables = CLIENT_VARIABLES.union(list_variables().values())
    file_names = (name for name, value in env_file.items() if value)
    present = {name.upper() for name in (*list_set_variables(), *file_names)}
    return sorted(name for name in present if name.startswith(PREFIX) and name not in variables)
