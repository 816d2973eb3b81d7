"""Every setting, with its default and unit; the only reader of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "AKIN_"
ENV_FILE = ".env"
LAST_PORT = 65_535


class SettingsError(Exception):
    """One or more settings are wrong; the message has a line for each."""


class Settings(BaseSettings):
    """Settings come from environment variables with the prefix AKIN_, or from a file .env."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True
    )

    listen: Annotated[str, Field(pattern=r"^.+:\d{1,5}$")] = Field(
        "127.0.0.1:50051", description="host:port to serve on; port 0 takes a free one"
    )
    data_dir: Path = Field(Path("data"), description="folder of the database, made if need be")
    shutdown_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        10.0, description="how long calls under way may go on after SIGTERM or SIGINT"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least severe log lines to write; `info` has one for each call"
    )

    @field_validator("listen")
    @classmethod
    def _port_exists(cls, listen: str) -> str:
        # gRPC would take the port modulo 65,536, without a word.
        if int(listen.rpartition(":")[2]) > LAST_PORT:
            raise ValueError(f"the port must be at most {LAST_PORT}")
        return listen


def load() -> Settings:
    """Reads the settings.

    Raises:
        SettingsError: with every bad value and every unknown AKIN_ name.
    """
    problems = [f"{name}: there is no such setting" for name in _unknown_names()]
    try:
        settings = Settings()
    except ValidationError as exc:
        for each in exc.errors(include_input=False, include_url=False):
            name = PREFIX + "_".join(str(part) for part in each["loc"]).upper()
            problems.append(f"{name}: {each['msg']}")
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _unknown_names() -> list[str]:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {name.upper() for name in (*os.environ, *dotenv_values(ENV_FILE))}
    return sorted(name for name in given if name.startswith(PREFIX) and name not in known)
