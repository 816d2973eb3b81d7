"""`akin clusters`: which groups the items fall into, as a table and as a map."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import akin
import typer
from rich.table import Table

from service.cli import analysis_output, console
from service.cli.plotting import maps, pictures

GROUPS = 50
"""The most groups in a table; JSON has them all."""

WORDS = 6


def clusters(
    count: Annotated[int, typer.Option(help="How many groups; 0 lets the server choose.")] = 0,
    representatives: Annotated[
        int, typer.Option(help="The most items to tell from the middle of each group.")
    ] = 3,
    plot: pictures.Plot = None,
    where: console.Where = None,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Print groups of similar items and what each is about; --plot draws a map of them all."""
    only = console.only(where)
    try:
        if plot is not None:
            pictures.check(plot)
        with console.connected(address) as client:
            with console.working("clusters"):
                found = client.cluster_items(
                    cluster_count=count,
                    where=only,
                    representative_limit=representatives,
                    point_limit=0 if plot is None else maps.POINTS,
                )
            if as_json:
                console.print_json(analysis_output.plain(found))
            else:
                console.out.print(_table(found, analysis_output.texts(client, _shown(found))))
        if plot is not None:
            maps.draw(plot, found)
    except pictures.CannotDraw as exc:
        console.misused(str(exc))


def _shown(found: akin.ClusterItemsResponse) -> list[str]:
    """The ids of representatives in the table: the first of every group, then the second."""
    ranked = (
        (place, each.item_id)
        for group in islice(found.clusters, GROUPS)
        for place, each in enumerate(group.representatives)
    )
    return [item_id for _, item_id in sorted(ranked, key=lambda one: one[0])]


def _table(found: akin.ClusterItemsResponse, texts: dict[str, str]) -> Table:
    number = len(found.clusters)
    more = "--json tells all groups" if number > GROUPS else None
    title = f"{analysis_output.groups(number)} {analysis_output.among(found.extent)}"
    table = console.titled(
        title, analysis_output.caption(analysis_output.sample(found.extent), more)
    )
    table.add_column("items", justify="right")
    table.add_column("cohesion", justify="right")
    table.add_column("words")
    table.add_column("in its middle", no_wrap=True)
    for group in islice(found.clusters, GROUPS):
        middle = (
            console.start(texts.get(each.item_id, each.item_id)) for each in group.representatives
        )
        words = ", ".join(group.words[:WORDS])
        table.add_row(f"{group.item_count:,}", f"{group.cohesion:.3f}", words, "\n".join(middle))
        table.add_section()
    return table
