"""Connection to the server: the options of `akin` that stand before the command or after it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import akin
import typer

from service.cli import console, options
from service.cli.call_errors import describe_call_error
from service.environment import API_KEY_VARIABLE, CATALOG_VARIABLE, read_variable

# Characters that gRPC allows in a header, without spaces.
KEY_PATTERN = re.compile(r"[!-~]+")

CatalogOption = Annotated[
    str,
    typer.Option(
        help="Catalog that the command uses. Default: the catalog `default`.",
        envvar=CATALOG_VARIABLE,
        rich_help_panel=options.CONNECTION_PANEL,
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="File with the API key to send. Default: the key in the environment variable "
        f"{API_KEY_VARIABLE}, or no key. There is no option for the key itself, because other "
        "users of the machine can see the arguments of a command.",
        rich_help_panel=options.CONNECTION_PANEL,
    ),
]
TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Use TLS. The --tls-* options imply it.",
        rich_help_panel=options.CONNECTION_PANEL,
    ),
]
TlsCaOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="CA bundle (PEM) for verifying the server. Default: the bundle of gRPC.",
        rich_help_panel=options.CONNECTION_PANEL,
    ),
]
TlsCertOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Client certificate (PEM) for mTLS. Default: none.",
        rich_help_panel=options.CONNECTION_PANEL,
    ),
]
TlsKeyOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Private key (PEM) of --tls-cert. Default: none.",
        rich_help_panel=options.CONNECTION_PANEL,
    ),
]


class ConnectionOptions(NamedTuple):
    """Parameters of a connection, without the address."""

    catalog: str = ""
    api_key: str = ""
    tls: akin.Tls | None = None


# The options of the running command by parameter. Typer calls set_connection_options before it.
_values: ContextVar[Mapping[str, Any]] = ContextVar(
    "connection_values", default=MappingProxyType({})
)


def _print_version(requested: bool) -> None:
    if requested:
        console.print_line(f"akin {version('akin-service')}")
        raise typer.Exit


def set_connection_options(  # noqa: PLR0913, PLR0917  (each parameter is an option)
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    catalog: CatalogOption = "",
    key_file: KeyFileOption = None,
    tls: TlsOption = False,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Akin, a recommendation service: texts in over gRPC, recommendations out.

    The options of the connection can stand before the command or after it.
    """
    _values.set(
        {
            "address": address,
            "catalog": catalog,
            "key_file": key_file,
            "tls": tls,
            "tls_ca": tls_ca,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
        }
    )


def read_parameters() -> ConnectionOptions:
    """Return the parameters of the running command; exit with status 2 if a file cannot be used."""
    values = {name: value for name, value in _values.get().items() if name != "address"}
    return _read_options(**values)


def replace_connection_options(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace options by those that stand after the command; return all options by parameter."""
    _values.set({**_values.get(), **values})
    return _values.get()


def _read_options(
    catalog: str = "",
    key_file: Path | None = None,
    tls: bool = False,
    tls_ca: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> ConnectionOptions:
    """Return the parameters of the connection; exit with status 2 if a file cannot be used."""
    _check_tls_files(tls_ca, tls_cert, tls_key)
    files = [None if path is None else path.read_bytes() for path in (tls_ca, tls_cert, tls_key)]
    api_key = _read_key_variable() if key_file is None else _read_key(key_file)
    return ConnectionOptions(catalog, api_key, akin.Tls(*files) if tls or any(files) else None)


def _check_tls_files(ca: Path | None, certificate: Path | None, key: Path | None) -> None:
    """Exit with status 2 if a file cannot be used; gRPC would only fail to connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca is not None:
            context.load_verify_locations(ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password="")  # instead of asking for one
    except OSError as exc:
        names = ", ".join(str(path) for path in (ca, certificate, key) if path is not None)
        reason = exc.strerror or str(exc)
        console.exit_with_error(f"the TLS files cannot be used: {names}: {reason}", status=2)


def _read_key(file: Path) -> str:
    """Return the API key in a file; exit with status 2 if the file has no key."""
    try:
        key = file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if not KEY_PATTERN.fullmatch(key):
        console.exit_with_error(f"--key-file: {file} contains no API key", status=2)
    return key


def _read_key_variable() -> str:
    """Return the API key of the environment, empty if unset; exit with status 2 if it is none."""
    key = read_variable(API_KEY_VARIABLE).strip()
    if key and not KEY_PATTERN.fullmatch(key):
        console.exit_with_error(f"{API_KEY_VARIABLE} contains no API key", status=2)
    return key


@contextmanager
def open_client(address: str, parameters: ConnectionOptions | None = None) -> Iterator[akin.Client]:
    """Yield a client; print the error and exit with status 1 if a call fails.

    Args:
        address: of the server.
        parameters: the parameters of the connection; None for those of the running command.
    """
    parameters = parameters or read_parameters()
    try:
        with akin.Client(address, **parameters._asdict()) as client:
            yield client
    except akin.AkinError as exc:
        console.exit_with_error(
            describe_call_error(exc, address, parameters.tls, sends_key=bool(parameters.api_key))
        )
