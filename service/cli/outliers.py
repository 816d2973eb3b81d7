"""`akin outliers`: which items are least like any others."""

from __future__ import annotations

from typing import Annotated

import akin
import typer
from rich.table import Table

from service.cli import analysis_output, console


def outliers(
    limit: Annotated[int, typer.Option(help="The most to return.")] = 20,
    where: console.Where = None,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Print the items that are least like any others, oddest first."""
    only = console.only(where)
    with console.connected(address) as client, console.working("outliers"):
        found = client.find_outliers(limit=limit, where=only, full=True)
    if as_json:
        console.print_json(analysis_output.plain(found))
    else:
        console.out.print(_table(found))


def _table(found: akin.FindOutliersResponse) -> Table:
    title = f"The oddest {analysis_output.among(found.extent)}"
    table = console.titled(title, analysis_output.sample(found.extent))
    table.add_column("score", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("what it is")
    table.add_column("most like", overflow="fold")
    for each in found.outliers:
        text = console.start(each.item.text)
        table.add_row(f"{each.score:.3f}", each.item_id, text, each.nearest_item_id)
    return table
