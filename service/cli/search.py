"""`akin search`: which passages of items' texts are most like a text."""

from __future__ import annotations

from typing import Annotated

import akin
import typer
from rich.padding import Padding
from rich.text import Text

from service.cli import analysis_output, console

INDENT = 2
WIDTH = 100
"""Lines longer than this are hard to read."""


def search(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    text: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option(help="The most to return.")] = 10,
    min_score: Annotated[float | None, typer.Option(help="The least score that may come.")] = None,
    per_item: Annotated[
        int, typer.Option(help="The most passages of one item; 0 for any number.")
    ] = 0,
    where: console.Where = None,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Print the passages of items' texts that are most like a text, best first."""
    only = console.only(where)
    with console.connected(address) as client, console.working("passages"):
        found = client.search_passages(
            text, limit=limit, where=only, min_score=min_score, passages_per_item=per_item
        )
    if as_json:
        console.print_json(analysis_output.plain(found))
    elif not found.passages:
        typer.echo("nothing was found")
    for each in () if as_json else found.passages:
        _show(each)


def _show(passage: akin.Passage) -> None:
    """The passage's score and place in bold, and its text below, wrapped."""
    place = f"bytes {passage.start_offset:,} to {passage.end_offset:,}"
    console.out.print(Text(f"{passage.score:.3f}  {passage.item_id}  {place}", style="bold"))
    width = min(console.out.width, WIDTH)
    console.out.print(Padding(Text(passage.text), (0, 0, 1, INDENT)), width=width)
