"""`akin serve`: runs the server in this process."""

from __future__ import annotations

import sys

import typer


def serve() -> None:
    """Run the server until SIGTERM or SIGINT. Settings are environment variables AKIN_*."""
    # FAISS and the model take a second to load, which the other commands can do without.
    import uvloop  # noqa: PLC0415

    from service import app, errors, log  # noqa: PLC0415
    from service.settings import SettingsError, load  # noqa: PLC0415

    try:
        settings = load()
        log.configure(settings.log_level)
        uvloop.run(app.serve(settings))
    except* (SettingsError, errors.AkinError) as group:
        for exc in group.exceptions:
            typer.echo(f"akin serve: {exc}", err=True)
        sys.exit(2)
