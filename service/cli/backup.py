"""`akin backup`: copy the data of a folder into one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from service import errors
from service.cli import console
from service.settings import SettingsError, load_settings
from service.storage.backup import Contents
from service.storage.backup import backup as write_backup

DataDir = Annotated[
    Path | None, typer.Option(help="Data folder. Default: the folder in the settings.")
]


def backup(
    file: Annotated[Path, typer.Argument(help="File to create.", dir_okay=False)],
    data_dir: DataDir = None,
    as_json: console.AsJson = False,
) -> None:
    """Copy the data into a new file and check the copy. A server may keep running."""
    with Progress(console=console.err, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("backup", total=None)

        def show(done: int, pages: int) -> None:
            bar.update(task, completed=done, total=pages)

        try:
            contents = write_backup(data_dir or load_settings().data_dir, file.absolute(), show)
        except (errors.AkinError, SettingsError) as exc:
            typer.echo(f"akin backup: {exc}", err=True)
            raise typer.Exit(1) from None
    print_contents(file, contents, as_json=as_json)


def print_contents(file: Path, contents: Contents, *, as_json: bool) -> None:
    """Print what a backup holds."""
    if as_json:
        console.print_json({"file": str(file), **contents._asdict()})
    else:
        typer.echo(
            f"{file}: {contents.items} items, {contents.users} users, "
            f"as of write {contents.sequence}; checked"
        )
