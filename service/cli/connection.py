"""Connection to the server: the options of `akin` that stand before the command."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, NamedTuple

import akin
import typer

from service.cli import console

# Characters that gRPC allows in a header, without spaces.
KEY_PATTERN = re.compile(r"[!-~]+")


class ConnectionOptions(NamedTuple):
    """Parameters of a connection, without the address."""

    catalog: str = ""
    api_key: str = ""
    tls: akin.Tls | None = None


# The options of the running command. Typer calls set_connection_options before the command.
_options: ContextVar[ConnectionOptions] = ContextVar(
    "connection_options",
    default=ConnectionOptions(),  # noqa: B039  (immutable)
)


def set_connection_options(
    catalog: Annotated[
        str, typer.Option(help="Catalog that the command uses. Default: the catalog `default`.")
    ] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="File with the API key to send. Default: no key."
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Use TLS. The --tls-* options imply it.")
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CA bundle (PEM) for verifying the server. Default: the bundle of gRPC.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Client certificate (PEM) for mTLS. Default: none."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Private key (PEM) of --tls-cert. Default: none."
        ),
    ] = None,
) -> None:
    """Akin, a recommendation service: texts in over gRPC, recommendations out."""
    _check_tls_files(tls_ca, tls_cert, tls_key)
    files = [None if path is None else path.read_bytes() for path in (tls_ca, tls_cert, tls_key)]
    api_key = "" if key_file is None else _read_key(key_file)
    _options.set(
        ConnectionOptions(catalog, api_key, akin.Tls(*files) if tls or any(files) else None)
    )


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


@contextmanager
def open_client(address: str, options: ConnectionOptions | None = None) -> Iterator[akin.Client]:
    """Yield a client; print the error and exit with status 1 if a call fails.

    Args:
        address: of the server.
        options: the parameters of the connection; None for those of the running command.
    """
    try:
        with akin.Client(address, **(options or _options.get())._asdict()) as client:
            yield client
    except akin.AkinError as exc:
        console.exit_with_error(str(exc))
