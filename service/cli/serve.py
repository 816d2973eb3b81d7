"""`akin serve`: runs the server in this process, or in several that this one starts."""

from __future__ import annotations

import asyncio
import sys

import typer


def run_server() -> None:
    """Run the server until SIGTERM or SIGINT. Environment variables AKIN_* configure it."""
    # Slow to import, and other commands do not need them.
    from service import errors  # noqa: PLC0415
    from service.server import workers  # noqa: PLC0415
    from service.settings import SettingsError, load_settings  # noqa: PLC0415
    from service.telemetry import logging  # noqa: PLC0415

    try:
        settings = load_settings()
        logging.configure_logging(settings.log_level)
        if settings.workers > 1:
            asyncio.run(workers.supervise(settings))
        else:
            workers.serve_alone(settings)
    except* (SettingsError, errors.AkinError) as group:
        for exc in group.exceptions:
            typer.echo(f"akin serve: {exc}", err=True)
        sys.exit(2)
