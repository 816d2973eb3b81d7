"""What the commands share: the address option, how errors end a command, tables and progress."""

from __future__ import annotations

import itertools
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, NamedTuple, NoReturn

import akin
import typer
from google.protobuf.json_format import MessageToDict, Parse, ParseError
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

Address = Annotated[str, typer.Option(help="host:port of the server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Where = Annotated[str | None, typer.Option("--filter", help="Only what passes: a Filter as JSON.")]

DEFAULT_ADDRESS = "127.0.0.1:50051"
TEXT_CHARACTERS = 50
REASON_CHARACTERS = 30

REASONS = 2
"""The most reasons that a table tells; JSON has them all."""

PIPED_COLUMNS = 120
"""How wide tables are where no terminal says how wide it is."""

WIDTH = None if sys.stdout.isatty() else PIPED_COLUMNS

# Ids and texts are shown as they are, be there brackets or colons in them.
out = Console(highlight=False, markup=False, emoji=False, width=WIDTH)
err = Console(highlight=False, markup=False, emoji=False, stderr=True)


class Connection(NamedTuple):
    """What the connection of a command needs besides an address."""

    catalog: str = ""
    api_key: str = ""
    tls: akin.Tls | None = None


PLAIN = Connection()
connect_by: ContextVar[Connection] = ContextVar("akin_connection", default=PLAIN)
"""Of this run of `akin`."""


@contextmanager
def connected(address: str) -> Iterator[akin.Client]:
    """A client; if a call fails, the command ends with the reason in one line and exit code 1."""
    try:
        with akin.Client(address, **connect_by.get()._asdict()) as client:
            yield client
    except akin.AkinError as exc:
        typer.echo(f"akin: {exc}", err=True)
        raise typer.Exit(1) from None


def misused(message: str) -> NoReturn:
    """Ends the command for what its options say, with exit code 2."""
    typer.echo(f"akin: {message}", err=True)
    raise typer.Exit(2)


def only(where: str | None) -> akin.Filter | None:
    """The filter that --filter tells; ends the command if it is none."""
    if where is None:
        return None
    try:
        return Parse(where, akin.Filter())
    except ParseError as exc:
        misused(f"--filter: {' '.join(str(exc).split())}")


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def recommendations_json(response: akin.RecommendSimilarResponse) -> object:
    """A reply with recommendations as plain values, fields named as in the contract."""
    return MessageToDict(response, preserving_proto_field_name=True)


def recommendations_table(title: str, recommendations: Sequence[akin.Recommendation]) -> Table:
    """Recommendations with full items, for people; and their reasons, if there are any."""
    table = titled(title)
    table.add_column("score", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("what it is")
    explained = any(each.reasons for each in recommendations)
    if explained:
        table.add_column("because", overflow="fold")
    for each in recommendations:
        row = [f"{each.score:.3f}", each.item_id, start(each.item.text)]
        table.add_row(*row, *[_because(each.reasons)] * explained)
    return table


def titled(title: str, caption: str | None = None) -> Table:
    """An empty table with a title above it, and maybe a remark below."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
    )


def _because(reasons: Iterable[akin.Reason]) -> str:
    return "; ".join(
        f"{_source(each)} {each.similarity:.2f}" for each in itertools.islice(reasons, REASONS)
    )


def _source(reason: akin.Reason) -> str:
    if reason.WhichOneof("source") == "item_id":
        return reason.item_id
    return f'"{start(reason.preference_text, REASON_CHARACTERS)}"'


def space_line(space: akin.EmbeddingSpace) -> str:
    """What embeds, in a line."""
    return f"{space.model} by {space.provider}, {space.dimensions} dimensions"


def start(text: str, characters: int = TEXT_CHARACTERS) -> str:
    """The first words of a text."""
    return textwrap.shorten(text, characters, placeholder=" ...")


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


@contextmanager
def working(title: str) -> Iterator[None]:
    """A spinner and the time on a terminal while a call is under way, nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn(title), TimeElapsedColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=err, disable=hidden, transient=True) as bar:
        bar.add_task(title, total=None)
        yield
