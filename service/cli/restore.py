"""`akin restore`: put a backup into a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import errors
from service.cli import console
from service.cli.backup import DataDir, print_contents
from service.settings import SettingsError, load_settings
from service.storage.backup import restore as read_backup


def restore(
    file: Annotated[Path, typer.Argument(help="File that akin backup made.", dir_okay=False)],
    data_dir: DataDir = None,
    as_json: console.AsJson = False,
) -> None:
    """Check a backup and put it into a data folder that has no data yet."""
    try:
        contents = read_backup(file.absolute(), data_dir or load_settings().data_dir)
    except (errors.AkinError, SettingsError) as exc:
        typer.echo(f"akin restore: {exc}", err=True)
        raise typer.Exit(1) from None
    print_contents(file, contents, as_json=as_json)
