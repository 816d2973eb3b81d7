"""The types of settings, and the checks of their values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from service.environment import MAX_PORT


def _check_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        raise ValueError("must be host:port, with a port from 0 to 65535")
    return value


ListenAddress = Annotated[str, AfterValidator(_check_address)]


def _expand_user(path: Path | None) -> Path | None:
    try:
        return None if path is None else path.expanduser()
    except RuntimeError as exc:
        raise ValueError(str(exc)) from None


def _check_store(value: str) -> str:
    # The message must not quote the address, which can have a password.
    if value and not re.fullmatch(r"postgres(ql)?://\S*", value):
        raise ValueError("must have the form postgresql://user@host/database, without spaces")
    return value


_IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}"


def _check_qdrant_url(value: str) -> str:
    addresses = rf"{_IPV4}:\d{{1,5}}(,{_IPV4}:\d{{1,5}})+"
    match = re.fullmatch(rf"https?://([\w.-]+:\d{{1,5}}|{addresses})", value, re.ASCII)
    if value and match is None:
        raise ValueError(
            "must have the form http://host:port or https://host:port, or several IPv4 addresses"
        )
    if any(int(port) > MAX_PORT for port in re.findall(r":(\d+)", value)):
        raise ValueError("must have ports from 0 to 65535")
    return value


OptionalFile = Annotated[Path | None, AfterValidator(_expand_user)]
RankingName = Literal["pooled", "nearest", "mean"]
TextTemplate = Annotated[str, Field(pattern=r"(?s)\{text\}")]
# Characters that HTTP headers allow. A value that was read from a file often ends in a newline.
ApiKey = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[!-~]*$")]
HeaderValue = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -~]*$")]
StoreAddress = Annotated[str, AfterValidator(_check_store)]
EngineUrl = Annotated[str, AfterValidator(_check_qdrant_url)]
DataFolder = Annotated[Path, AfterValidator(_expand_user)]
