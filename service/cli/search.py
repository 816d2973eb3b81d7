"""`akin search`: prints the passages of item texts that are most similar to a text."""

from __future__ import annotations

from typing import Annotated

import akin
import typer
from rich.padding import Padding

from service.cli import console, options
from service.cli.connection import open_client
from service.domain.printable import to_line

INDENT = 2

# Longer lines are hard to read.
LINE_CHARACTERS = 100


def print_passages(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    text: Annotated[str, typer.Argument(help="Text to search for.")],
    limit: options.LimitOption = 10,
    min_score: options.MinScoreOption = None,
    lexical_weight: options.LexicalWeightOption = None,
    per_item: Annotated[
        int, typer.Option(help="Maximum number of passages of one item. 0: unlimited.")
    ] = 0,
    filter_json: options.FilterOption = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Print the passages of item texts that are most similar to a text, best first."""
    filter_ = options.parse_filter(filter_json)
    with open_client(address) as client, console.show_spinner("passages"):
        response = client.search_passages(
            text,
            limit=limit,
            where=filter_,
            min_score=min_score,
            lexical_weight=lexical_weight,
            limit_per_item=per_item,
        )
    if as_json:
        console.print_message(response, with_zeros=True)
        return
    if not response.passages:
        console.print_line("no passages found")
    for passage in response.passages:
        _print(passage)


def _print(passage: akin.Passage) -> None:
    """Print the score and position of a passage in bold, and its text below."""
    position = f"bytes {passage.start_offset:,} to {passage.end_offset:,}"
    heading = to_line(f"{passage.score:.3f}  {passage.item_id}  {position}")
    console.out.print(heading, style="bold")
    width = min(console.out.width, LINE_CHARACTERS)
    console.out.print(Padding(passage.text, (0, 0, 1, INDENT)), width=width)
