"""`akin key`: creates an API key and its entry for the server's key file."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Annotated

import typer
from pydantic import ValidationError

from service.api.auth import Key, Scope

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
) -> None:
    """Create an API key.

    Prints the key to standard error, once. Prints its entry for the file that AKIN_API_KEYS names,
    {"keys": [...]}, to standard output.
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
    typer.echo(secret, err=True)
    typer.echo(entry)
