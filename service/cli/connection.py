"""The options of `akin` itself, before the command: which catalog, and how to connect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import akin
import typer

from service.cli.console import Connection, connect_by


def connection(
    catalog: Annotated[
        str, typer.Option(help="The catalog that the command is about; the default one otherwise.")
    ] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="File with the API key to send."),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS.")] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PEM file with whose servers to trust."),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PEM file with the client's certificate."),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PEM file with the certificate's key."),
    ] = None,
) -> None:
    """Akin: texts in over gRPC, recommendations out."""
    files = [None if path is None else path.read_bytes() for path in (tls_ca, tls_cert, tls_key)]
    api_key = "" if key_file is None else key_file.read_text().strip()
    secured = akin.Tls(*files) if tls or any(files) else None
    connect_by.set(Connection(catalog, api_key, secured))
