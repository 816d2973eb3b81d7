"""`akin vacuum`: makes the database of a stopped server as small as its contents."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.progress import Progress

from service import errors
from service.background.purge import SECONDS_PER_DAY, Purged, purge_stopped
from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.store_errors import exit_on_store_error
from service.settings_loading import load_settings
from service.storage.data_folder import DATABASE, lock_folder
from service.storage.sqlite.vacuum import FileSizes, vacuum_database

_INSTEAD = "PostgreSQL removes unused rows by itself (autovacuum)"


def vacuum(
    data_dir: options.DataDirOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Remove unused data and write the database again. The server must be stopped."""
    command = "akin vacuum"
    console.exit_on_sigterm()
    advice = ": stop it first. A running server removes unused data by itself"
    with exit_on_store_error(command, in_use_advice=advice):
        folder = options.choose_data_folder(data_dir, command, _INSTEAD)
        retention_seconds = load_settings().vector_retention_days * SECONDS_PER_DAY
        if not (folder / DATABASE).is_file():
            raise errors.StoreUnavailable(f"there is no database {folder / DATABASE}")
        with lock_folder(folder):
            bytes_before = (folder / DATABASE).stat().st_size
            purged = asyncio.run(purge_stopped(folder, retention_seconds))
            sizes = _vacuum(folder)
    # The purge has given back the pages that became free.
    sizes = sizes._replace(bytes_before=bytes_before)
    _print_result(folder, purged, sizes, as_json=as_json)


def _vacuum(folder: Path) -> FileSizes:
    """Write the database again, with a progress bar."""
    with Progress(console=console.err, disable=not console.is_progress_visible()) as bar:
        task = bar.add_task("vacuum", total=None)
        return vacuum_database(
            folder, lambda written, total: bar.update(task, completed=written, total=total)
        )


def _print_result(folder: Path, purged: Purged, sizes: FileSizes, *, as_json: bool) -> None:
    if as_json:
        console.print_json(
            {
                "folder": str(folder),
                **sizes._asdict(),
                "tombstones": purged.tombstones,
                "vectors": purged.vectors,
            }
        )
    else:
        console.print_line(
            f"{folder / DATABASE}: {sizes.bytes_before:,} bytes before, "
            f"{sizes.bytes_after:,} bytes now; "
            f"removed {format_count(purged.vectors, 'unused vector')} and "
            f"{format_count(purged.tombstones, 'record')} of deleted items"
        )
