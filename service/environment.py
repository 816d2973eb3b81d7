"""What settings read besides AKIN_ variables: the file .env, and the variables of HTTP requests."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from io import StringIO
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from service.domain.addresses import is_loopback

ENV_FILE = ".env"

# Editors of some systems begin a file with a byte order mark, which this codec skips.
ENV_FILE_ENCODING = "utf-8-sig"

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PROXY_SCHEMES = {"http", "https", "socks5", "socks5h"}

# Variables of commands that call a server. They are no settings of a server.
ADDRESS_VARIABLE = "AKIN_ADDRESS"
API_KEY_VARIABLE = "AKIN_API_KEY"
CATALOG_VARIABLE = "AKIN_CATALOG"
CLIENT_VARIABLES = frozenset({ADDRESS_VARIABLE, API_KEY_VARIABLE, CATALOG_VARIABLE})

# The largest TCP port.
MAX_PORT = 65_535


class EnvFileError(Exception):
    """The file .env cannot be read; the message names it."""


def read_env_file() -> dict[str, str]:
    """Return the variables of the file .env in the working directory, empty if there is none.

    Raises:
        EnvFileError: the file is unreadable, is not UTF-8, or has a line that sets no variable.
    """
    try:
        text = Path(ENV_FILE).read_text(ENV_FILE_ENCODING)
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise EnvFileError(f"{ENV_FILE}: must be a file, not a directory") from None
    except OSError as exc:
        raise EnvFileError(f"{ENV_FILE}: cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise EnvFileError(f"{ENV_FILE}: must be text in UTF-8") from None
    if "\0" in text:
        raise EnvFileError(f"{ENV_FILE}: must be text in UTF-8, without NUL characters")
    variables = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            line = binding.original.line
            raise EnvFileError(f"{ENV_FILE}: line {line} must have the form NAME=value")
        if binding.key is not None:
            variables[binding.key] = binding.value or ""
    return variables


def read_variable(name: str) -> str:
    """Return the value of an environment variable, empty if it is unset."""
    return os.environ.get(name, "")


def set_default(name: str, value: str) -> None:
    """Set an environment variable of this process, and of those that it starts, if it is unset."""
    os.environ.setdefault(name, value)


def list_empty_variables() -> set[str]:
    """Return the names of the environment variables that are set to an empty value."""
    return {name for name, value in os.environ.items() if not value}


def list_set_variables() -> set[str]:
    """Return the names of the environment variables that have a value."""
    return {name for name, value in os.environ.items() if value}


def find_http_problems(base_url: str) -> Iterator[str]:
    """Yield a line for each variable that HTTP requests to a URL cannot use.

    Requests to this machine use no proxy.
    """
    if not is_loopback(urlsplit(base_url).hostname or ""):
        for name in PROXY_VARIABLES:
            variable, value = _read(name)
            problem = _find_proxy_problem(value) if value else ""
            if problem:
                yield f"{variable}: {problem}"
        variable, value = _read("NO_PROXY")
        for entry in filter(_is_unusable_exception, value.split(",")):
            yield f"{variable}: the entry {entry.strip()!r} is not supported"
    yield from _find_certificate_problems()


def _read(name: str) -> tuple[str, str]:
    """Return the name and value of a variable that exists in lower case, which wins, and in upper.

    An empty variable in lower case unsets the other one, as in Python's standard library.
    """
    lower = name.lower()
    return (lower, os.environ[lower]) if lower in os.environ else (name, os.environ.get(name, ""))


def _find_proxy_problem(value: str) -> str:
    """Return why a value is no proxy; empty if it is one. The value can contain a password."""
    form = "must be the URL of a proxy, such as http://proxy.internal:3128"
    has_scheme = "://" in value
    try:
        url = urlsplit(value if has_scheme else f"http://{value}")
        host, port = url.hostname, url.port
    except ValueError:
        return form
    if not host or any(character.isspace() for character in value):
        return form
    if not has_scheme and port is None:
        return form
    if url.scheme not in PROXY_SCHEMES:
        return f"{form}; the scheme can be http, https, socks5 or socks5h"
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        return "a SOCKS proxy requires the Python package socksio, which is not installed"
    return ""


def _is_unusable_exception(entry: str) -> bool:
    """Is an entry of NO_PROXY one that the HTTP client cannot parse, such as an IPv6 network?"""
    entry = entry.strip()
    host, slash, _ = entry.partition("/")
    try:
        IPv6Address(host)
    except ValueError:
        _, colon, port = entry.rpartition("://")[2].rpartition(":")
        return bool(colon) and not (port.isascii() and port.isdigit())
    return bool(slash)


def _find_certificate_problems() -> Iterator[str]:
    """Yield why the variables that replace the certificate authorities are unusable."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError:
            yield f"SSL_CERT_FILE: {file} contains no certificate in PEM format"
        except OSError as exc:
            yield f"SSL_CERT_FILE: {file} cannot be read: {exc.strerror}"
    elif folder and not Path(folder).is_dir():
        yield f"SSL_CERT_DIR: {folder} is no directory"
