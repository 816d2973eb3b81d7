"""`akin classify`: predicts the values of an attribute for a text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import akin
import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from service.cli import analysis_output, console, options
from service.cli.connection import open_client
from service.cli.json_numbers import to_json_number

# Nearest items in a table; --json prints all of them.
TABLE_NEIGHBORS = 5


def print_labels(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    text: Annotated[str, typer.Option(help="Text to classify.")],
    attribute: Annotated[str, typer.Option(help="Path of the attribute to predict.")],
    neighbors: Annotated[
        int, typer.Option(help="Number of nearest items that determine the values.")
    ] = 20,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Id of an item to ignore. Repeatable. Default: no items."),
    ] = None,
    filter_json: options.FilterOption = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Predict the values of an attribute for a text, most probable first."""
    filter_ = options.parse_filter(filter_json)
    with open_client(address) as client:
        with console.show_spinner("labels"):
            response = client.classify_text(
                text,
                attribute,
                where=filter_,
                neighbor_count=neighbors,
                exclude_item_ids=exclude or (),
            )
        if as_json:
            console.print_message(response, with_zeros=True)
            return
        console.out.print(_build_label_table(attribute, response))
        nearest = list(islice(response.neighbors, TABLE_NEIGHBORS))
        if nearest:
            ids = (neighbor.item_id for neighbor in nearest)
            texts = analysis_output.fetch_texts(client, ids)
            console.out.print(_build_neighbor_table(nearest, texts))


def _build_label_table(attribute: str, response: akin.ClassifyTextResponse) -> Table:
    neighbors = len(response.neighbors)
    caption = (
        f"predicted from the nearest {analysis_output.format_count(neighbors, 'item')}"
        if neighbors
        else f"no item has the attribute {attribute}"
    )
    table = console.build_table(f"Predicted {attribute}", caption)
    table.add_column("probability", justify="right")
    table.add_column(attribute, overflow="fold")
    for label in response.labels:
        table.add_row(f"{label.probability:.3f}", _format(MessageToDict(label.value)))
    return table


def _format(value: object) -> str:
    """Return a label as text; a year arrives as 1990.0."""
    if isinstance(value, float):
        value = to_json_number(value)
    return value if isinstance(value, str) else json.dumps(value)


def _build_neighbor_table(neighbors: Sequence[akin.Neighbor], texts: dict[str, str]) -> Table:
    table = console.build_table("Nearest items")
    table.add_column("similarity", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("text")
    for neighbor in neighbors:
        text = console.shorten(texts.get(neighbor.item_id, ""))
        table.add_row(f"{neighbor.similarity:.3f}", neighbor.item_id, text)
    return table
