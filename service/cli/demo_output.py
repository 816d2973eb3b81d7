"""Output of `akin demo`: a heading, the Python call, a table of books, and how fast it was."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import akin
import typer
from google.protobuf.struct_pb2 import ListValue

from service.cli import console

# Similarities below this say nothing to a reader: books without a common subject have about as
# much.
MIN_SHOWN_SIMILARITY = 0.2

# Stands for the id of an item among the columns.
ID_COLUMN = "id"


def show_heading(title: str) -> None:
    """Print the title of a part of the demo between empty lines."""
    typer.echo()
    console.out.print(title, style="bold", highlight=False, markup=False)
    typer.echo()


def show_call(call: str) -> None:
    """Print Python code, indented and dimmed."""
    for line in call.splitlines():
        console.out.print(f"  {line}", style="dim", highlight=False, markup=False, soft_wrap=True)


def find_command_line() -> str:
    """Return the command line that starts this program in the current folder."""
    program = Path(sys.executable).with_name("akin")
    if shutil.which("akin") == str(program):
        return "akin"
    return os.path.relpath(program)


def show_hints(hints: Mapping[str, str]) -> None:
    """Print commands or settings, indented, with their meanings in a column."""
    width = max(map(len, hints))
    for name, meaning in hints.items():
        typer.echo(f"  {name:{width}}   {meaning}")


class BookTable:
    """Asks the server for books and prints them as tables.

    Args:
        client: a client of the server of the demo.
    """

    def __init__(self, client: akin.Client) -> None:
        self._client = client

    def show(
        self,
        call: str,
        ask: Callable[[], akin.RecommendSimilarResponse],
        *,
        sources: Mapping[str, str] | None = None,
        columns: Sequence[str] = ("author",),
    ) -> akin.RecommendSimilarResponse:
        """Print a call, the books of its response, and the time that it took.

        Args:
            call: Python code of the call.
            ask: makes the call, with whole items.
            sources: if the response has explanations, the titles of liked books by item id.
            columns: the attributes to show beside the title, or ID_COLUMN.
        """
        show_call(call)
        started = time.perf_counter()
        response = ask()
        milliseconds = (time.perf_counter() - started) * 1e3
        table = console.build_table(
            caption=f"Answered in {milliseconds:.1f} ms with {describe_model(self._client)}"
        )
        table.add_column("score", justify="right")
        table.add_column("title")
        for name in columns:
            table.add_column(name)
        if sources is not None:
            table.add_column("because of")
        for recommendation in response.recommendations:
            attributes = dict(recommendation.item.attributes.items())
            row = [f"{recommendation.score:.2f}"]
            row.append(_format_value(attributes, "title"))
            row += [
                recommendation.item_id if name == ID_COLUMN else _format_value(attributes, name)
                for name in columns
            ]
            if sources is not None:
                row.append(_describe_reason(recommendation.explanations, sources))
            table.add_row(*row)
        console.out.print(table)
        return response


def describe_model(client: akin.Client) -> str:
    """Return the model of the catalog without the digest of its weights, and its provider."""
    space = client.get_catalog().space
    return f"{space.model.partition('@')[0]} ({space.provider}, {space.dimensions} dimensions)"


def _format_value(attributes: Mapping[str, object], name: str) -> str:
    value = attributes.get(name, "")
    return ", ".join(map(str, value)) if isinstance(value, ListValue) else str(value)


def _describe_reason(explanations: Sequence[akin.Explanation], titles: Mapping[str, str]) -> str:
    """Return the strongest explanation; empty if it is too weak to say anything."""
    strongest = max(explanations, key=lambda each: each.similarity, default=None)
    if strongest is None or strongest.similarity < MIN_SHOWN_SIMILARITY:
        return ""
    source = titles.get(strongest.item_id, strongest.item_id) or f'"{strongest.text}"'
    return f"{source} {strongest.similarity:.2f}"
