"""`akin restore`: restores a backup into a data folder without data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli import console, options
from service.cli.backup import print_contents
from service.cli.store_errors import exit_on_store_error
from service.storage.sqlite.backup import restore_backup as restore_data

_INSTEAD = (
    'run pg_restore --no-owner --exit-on-error --dbname="$AKIN_STORE" FILE on an empty database '
    "for a file of pg_dump, or akin migrate for a file of akin backup"
)


def restore(
    file: Annotated[Path, typer.Argument(help="File that akin backup created.", dir_okay=False)],
    data_dir: options.DataDirOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Check a backup and restore it into a data folder without data."""
    console.exit_on_sigterm()
    with exit_on_store_error("akin restore"):
        folder = options.choose_data_folder(data_dir, "akin restore", _INSTEAD)
        contents = restore_data(options.expand_user(file), folder)
    print_contents(file, contents, as_json=as_json)
