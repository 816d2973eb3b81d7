"""`akin key`: creates an API key and its entry for the server's key file."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from service.api.auth import Key, Scope
from service.cli import console, options
from service.cli.key_file import append_key
from service.errors import KeysUnusable

# 256 bits: too many to guess.
KEY_BYTES = 32


def create_key(
    name: Annotated[str, typer.Argument(help="Name of the key's owner, for the server's log.")],
    scope: Annotated[list[Scope], typer.Option(help="Scope of the key. Repeatable.")],
    catalog: Annotated[
        list[str] | None,
        typer.Option(help="Catalog that the key is valid for. Repeatable. Default: all catalogs."),
    ] = None,
    calls_per_second: Annotated[
        float | None,
        typer.Option(help="Maximum number of calls per second, on average. Default: no maximum."),
    ] = None,
    append_to: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="File that AKIN_API_KEYS names, to add the entry to; created if it is missing.",
        ),
    ] = None,
) -> None:
    """Create an API key.

    Prints the key to standard error, once. Prints its entry for the file that AKIN_API_KEYS names,
    {"keys": [...]}, to standard output.

    With --append-to, adds the entry to this file, and prints the key to standard output, once. A
    running server accepts the key after a second.
    """
    secret = secrets.token_urlsafe(KEY_BYTES)
    fields = {
        "name": name,
        "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "scopes": sorted(scope),
        "catalogs": catalog or None,
        "calls_per_second": calls_per_second,
    }
    entry = json.dumps({field: value for field, value in fields.items() if value is not None})
    try:
        Key.model_validate_json(entry)
    except ValidationError as exc:
        raise typer.BadParameter(exc.errors()[0]["msg"]) from None
    if append_to is None:
        typer.echo(secret, err=True)
        typer.echo(entry)
        return
    try:
        append_key(options.expand_user(append_to), json.loads(entry))
    except KeysUnusable as exc:
        console.exit_with_error(str(exc), command="akin key", status=2)
    console.print_line(f"added {name} to {append_to}", to_stderr=True)
    typer.echo(secret)
