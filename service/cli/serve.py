"""`akin serve`: runs the server in this process, or in several that this one starts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from service.domain.printable import replace_controls
from service.environment import set_default

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from service.settings import Settings


def run_server() -> None:
    """Run the server until SIGTERM or SIGINT. Environment variables AKIN_* configure it."""
    # Slow to import, and other commands do not need them.
    from service import errors  # noqa: PLC0415
    from service.cli.start_errors import describe_start_error  # noqa: PLC0415
    from service.server import workers  # noqa: PLC0415
    from service.settings_loading import SettingsError, check_http_variables, load_settings  # noqa: PLC0415
    from service.storage.data_folder import lock_folder, secure_folder  # noqa: PLC0415
    from service.storage.opening import prepare_store  # noqa: PLC0415
    from service.telemetry import logging  # noqa: PLC0415

    settings: Settings | None = None
    try:
        settings = load_settings()
        if settings.provider_kind != "local":
            check_http_variables(settings.embedding_base_url)
        with logging.write_log(settings.log_level):
            if settings.workers > 1:
                asyncio.run(workers.supervise(settings, _serve))
            else:
                with lock_folder(settings.data_dir, workers.LOCK_WAIT_SECONDS):
                    # First, because a folder with another database is not Akin's to change.
                    prepare_store(settings.data_dir, settings.store)
                    secure_folder(settings.data_dir)
                    _serve(settings, 0, lambda: None)
    except* (SettingsError, errors.AkinError) as group:
        for exc in group.exceptions:
            line = f"akin serve: {describe_start_error(exc, settings)}"
            typer.echo(replace_controls(line), err=True)
        sys.exit(2)


def _serve(
    settings: Settings,
    number: int,
    on_serving: Callable[[], None],
    scrapes: Connection | None = None,
) -> None:
    # FAISS's threads otherwise wait for each other in loops: on busy processors a graph took three
    # times as long. OpenMP reads this when FAISS is imported.
    set_default("OMP_WAIT_POLICY", "passive")
    # A process that supervises workers does not need the memory that these take.
    import uvloop  # noqa: PLC0415

    from service.server import app  # noqa: PLC0415
    from service.server.wiring import Worker  # noqa: PLC0415

    uvloop.run(app.serve(settings, Worker(number, settings.workers, scrapes), on_serving))
