"""`akin backup` and `akin restore`: copies of the data, on the machine that has it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from service import errors
from service.cli import console
from service.copies import Contents, copied, put_back
from service.settings import SettingsError

DataDir = Annotated[
    Path | None, typer.Option(help="The data folder; by default that of the settings.")
]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to make.", dir_okay=False)],
    data_dir: DataDir = None,
    as_json: console.AsJson = False,
) -> None:
    """Copy the data into a new file, while a server uses it or not, and check the copy."""
    with Progress(console=console.err, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("backup", total=None)
        try:
            contents = copied(
                data_dir, file, lambda done, pages: bar.update(task, completed=done, total=pages)
            )
        except (errors.AkinError, SettingsError) as exc:
            raise _failed("backup", exc) from None
    _tell(file, contents, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="What akin backup made.", dir_okay=False)],
    data_dir: DataDir = None,
    as_json: console.AsJson = False,
) -> None:
    """Check a backup and put it into a data folder that has no data yet."""
    try:
        contents = put_back(file, data_dir)
    except (errors.AkinError, SettingsError) as exc:
        raise _failed("restore", exc) from None
    _tell(file, contents, as_json=as_json)


def _failed(command: str, exc: Exception) -> typer.Exit:
    typer.echo(f"akin {command}: {exc}", err=True)
    return typer.Exit(1)


def _tell(file: Path, contents: Contents, *, as_json: bool) -> None:
    if as_json:
        console.print_json({"file": str(file), **contents._asdict()})
    else:
        typer.echo(
            f"{file}: {contents.items} items, {contents.users} users, "
            f"as of write {contents.sequence}; checked"
        )
