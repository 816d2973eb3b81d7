"""`akin key`: makes an API key, and the entry that has the server know it."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Annotated

import typer
from pydantic import ValidationError

from service.api.auth import Key, Scope

BYTES = 32


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is; the log tells it.")],
    scope: Annotated[list[Scope], typer.Option(help="What it is good for; may be repeated.")],
    catalog: Annotated[
        list[str] | None, typer.Option(help="Only for this catalog; may be repeated.")
    ] = None,
    calls_per_second: Annotated[
        float | None, typer.Option(help="How many calls it is good for, on average.")
    ] = None,
) -> None:
    """Make an API key. The key itself goes to standard error, once; its entry for the file named by
    AKIN_API_KEYS, {"keys": [...]}, to standard output.
    """  # noqa: D205  (Typer shows it as it is)
    made = secrets.token_urlsafe(BYTES)
    entry = {
        "name": name,
        "sha256": hashlib.sha256(made.encode()).hexdigest(),
        "scopes": sorted(scope),
        "catalogs": catalog or None,
        "calls_per_second": calls_per_second,
    }
    given = {field: value for field, value in entry.items() if value is not None}
    try:
        Key.model_validate_json(json.dumps(given))
    except ValidationError as exc:
        raise typer.BadParameter(exc.errors()[0]["msg"]) from None
    typer.echo(made, err=True)
    typer.echo(json.dumps(given))
