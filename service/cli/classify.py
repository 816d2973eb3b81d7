"""`akin classify`: which values of an attribute a text would have."""

from __future__ import annotations

import json
from itertools import islice
from typing import Annotated

import akin
import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from service.cli import analysis_output, console

VOTERS = 5
"""The most voters in a table; JSON has them all."""


def classify(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    text: Annotated[str, typer.Option(help="The text to label.")],
    attribute: Annotated[str, typer.Option(help="The attribute whose values are the labels.")],
    neighbors: Annotated[int, typer.Option(help="How many items vote.")] = 20,
    exclude: Annotated[list[str] | None, typer.Option(help="An item that does not vote.")] = None,
    where: console.Where = None,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Print the values of an attribute that items like a text have, likeliest first."""
    only = console.only(where)
    with console.connected(address) as client:
        with console.working("labels"):
            found = client.classify_text(
                text,
                attribute,
                where=only,
                neighbor_count=neighbors,
                exclude_item_ids=exclude or (),
            )
        if as_json:
            console.print_json(analysis_output.plain(found))
            return
        voters = list(islice(found.voters, VOTERS))
        console.out.print(_labels(attribute, found))
        if voters:
            texts = analysis_output.texts(client, (each.item_id for each in voters))
            console.out.print(_voters(voters, texts))


def _labels(attribute: str, found: akin.ClassifyTextResponse) -> Table:
    number = len(found.voters)
    caption = f"{number:,} items voted" if number else f"no item with {attribute} was found"
    table = console.titled(f"{attribute} of the text", caption)
    table.add_column("probability", justify="right")
    table.add_column(attribute, overflow="fold")
    for each in found.labels:
        table.add_row(f"{each.probability:.3f}", _worded(MessageToDict(each.value)))
    return table


def _worded(value: object) -> str:
    """A label as people write it: on the wire a year is 1990.0, as every number is of one kind."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def _voters(voters: list[akin.Voter], texts: dict[str, str]) -> Table:
    table = console.titled("The nearest that voted")
    table.add_column("similarity", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("what it is")
    for each in voters:
        text = console.start(texts.get(each.item_id, ""))
        table.add_row(f"{each.similarity:.3f}", each.item_id, text)
    return table
