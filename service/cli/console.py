"""What the commands share: the address option, how errors end a command, tables and progress."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import akin
import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Address = Annotated[str, typer.Option(help="host:port of the server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

DEFAULT_ADDRESS = "127.0.0.1:50051"
TEXT_CHARACTERS = 50

PIPED_COLUMNS = 120
"""How wide tables are where no terminal says how wide it is."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)
err = Console(stderr=True, highlight=False)


@contextmanager
def connected(address: str) -> Iterator[akin.Client]:
    """A client; if a call fails, the command ends with the reason in one line and exit code 1."""
    try:
        with akin.Client(address) as client:
            yield client
    except akin.AkinError as exc:
        typer.echo(f"akin: {exc}", err=True)
        raise typer.Exit(1) from None


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def recommendations_json(response: akin.RecommendSimilarResponse) -> object:
    """A reply with recommendations as plain values, fields named as in the contract."""
    return MessageToDict(response, preserving_proto_field_name=True)


def recommendations_table(title: str, recommendations: Iterable[akin.Recommendation]) -> Table:
    """Recommendations with full items, for people."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("score", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("what it is")
    for each in recommendations:
        start = textwrap.shorten(each.item.text, TEXT_CHARACTERS, placeholder=" ...")
        table.add_row(f"{each.score:.3f}", each.item_id, start)
    return table


@contextmanager
def progress(title: str, total_bytes: int | None) -> Iterator[Progress]:
    """A progress bar over bytes on a terminal, nothing elsewhere."""
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[done]} stored"),
        TimeRemainingColumn(),
        console=err,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        bar.add_task(title, total=total_bytes, done=0)
        yield bar
