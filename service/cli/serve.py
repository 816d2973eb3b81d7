"""`akin serve`: runs the server in this process."""

from __future__ import annotations

import sys

import typer
import uvloop

from service import app, errors, log
from service.settings import SettingsError, load


def serve() -> None:
    """Run the server until SIGTERM or SIGINT. Settings are environment variables AKIN_*."""
    try:
        settings = load()
        log.configure(settings.log_level)
        uvloop.run(app.serve(settings))
    except* (SettingsError, errors.AkinError) as group:
        for exc in group.exceptions:
            typer.echo(f"akin serve: {exc}", err=True)
        sys.exit(2)
