"""`akin backup`: copies the data of a data folder into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.store_errors import exit_on_store_error
from service.storage.sqlite.backup import Contents, create_backup

# Unlogged tables have only what can be derived from the others.
_INSTEAD = (
    "run pg_dump --format=custom --schema=akin --no-unlogged-table-data --file=FILE "
    '"$AKIN_STORE" with the password in PGPASSWORD, or use the backups of the database service'
)


def back_up(
    file: Annotated[Path, typer.Argument(help="File to create.", dir_okay=False)],
    data_dir: options.DataDirOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Copy the data into a new file and check the copy. The server can keep running."""
    console.exit_on_sigterm()
    hidden = not console.is_progress_visible()
    with Progress(console=console.err, disable=hidden) as bar:
        task = bar.add_task("backup", total=None)

        def show(copied_pages: int, total_pages: int) -> None:
            bar.update(task, completed=copied_pages, total=total_pages)

        with exit_on_store_error("akin backup"):
            folder = options.choose_data_folder(data_dir, "akin backup", _INSTEAD)
            contents = create_backup(folder, options.expand_user(file), show)
    print_contents(file, contents, as_json=as_json)


def print_contents(file: Path, contents: Contents, *, as_json: bool) -> None:
    """Print the contents of a checked backup."""
    if as_json:
        console.print_json({"file": str(file), **contents._asdict()})
    else:
        console.print_line(
            f"{file}: {format_count(contents.items, 'item')} and "
            f"{format_count(contents.users, 'user')}, "
            f"up to sequence {contents.sequence}; checked"
        )
