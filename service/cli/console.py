"""Output of commands: tables, progress, JSON and error messages."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import akin
import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# Length of an item's text in a table: the id and the score fit beside it in 80 columns.
CELL_CHARACTERS = 50

# Width of tables where no terminal has a width.
PIPED_COLUMNS = 120

# Ids and texts are printed as they are: brackets and colons in them are no markup.
out = Console(
    highlight=False,
    markup=False,
    emoji=False,
    width=None if sys.stdout.isatty() else PIPED_COLUMNS,
)
err = Console(highlight=False, markup=False, emoji=False, stderr=True)


def exit_with_error(message: str, *, command: str = "akin", status: int = 1) -> NoReturn:
    """Print an error message in one line and end the command; status 2 means a usage error."""
    typer.echo(f"{command}: {message}", err=True)
    raise typer.Exit(status)


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_message(message: Message, *, with_zeros: bool = False) -> None:
    """Print a message as one JSON document with the field names of the contract."""
    print_json(to_dict(message, with_zeros=with_zeros))


def to_dict(message: Message, *, with_zeros: bool = False) -> dict[str, object]:
    """Return a message as plain values; fields that are zero or empty only if `with_zeros`."""
    return MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=with_zeros,
    )


def build_table(title: str | None = None, caption: str | None = None) -> Table:
    """Return an empty table with a title above it and a caption below it."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
    )


def describe_space(space: akin.EmbeddingSpace) -> str:
    """Return an embedding space in one line."""
    return f"{space.model} ({space.provider}), {space.dimensions} dimensions"


def shorten(text: str, characters: int = CELL_CHARACTERS) -> str:
    """Return the first words of a text in one line."""
    return textwrap.shorten(text, characters, placeholder=" ...")


def is_progress_visible() -> bool:
    """Is standard error a terminal?"""
    return sys.stderr.isatty()


@contextmanager
def show_bytes(title: str, total_bytes: int | None) -> Iterator[Progress]:
    """Show a progress bar over bytes with one task, whose field `done` counts items."""
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[done]} items"),
        TimeRemainingColumn(),
        console=err,
        disable=not is_progress_visible(),
    )
    with bar:
        bar.add_task(title, total=total_bytes, done=0)
        yield bar


@contextmanager
def show_spinner(title: str) -> Iterator[None]:
    """Show a spinner and the elapsed time during a call."""
    columns = (SpinnerColumn(), TextColumn(title), TimeElapsedColumn())
    hidden = not is_progress_visible()
    with Progress(*columns, console=err, disable=hidden, transient=True) as bar:
        bar.add_task(title, total=None)
        yield
