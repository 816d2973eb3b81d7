"""`akin duplicates`: which items repeat each other."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

import akin
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from service.cli import analysis_output, console

GROUPS = 30
ITEMS = 5
"""The most groups in a table, and items of each; JSON has them all."""


def duplicates(
    item: Annotated[str, typer.Option(help="Only repetitions of this item.")] = "",
    min_similarity: Annotated[
        float | None, typer.Option(help="The least cosine for texts to be compared, -1 to 1.")
    ] = None,
    where: console.Where = None,
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
) -> None:
    """Print groups of items whose texts say the same in nearly the same words."""
    only = console.only(where)
    with console.connected(address) as client:
        answers = client.find_duplicates(item_id=item, min_similarity=min_similarity, where=only)
        found = _gathered(answers)
        if as_json:
            console.print_json(analysis_output.plain(found))
        elif not found.groups:
            remark = analysis_output.caption(
                analysis_output.among(found.extent), analysis_output.sample(found.extent)
            )
            typer.echo(f"no duplicates {remark}")
        else:
            shown = (each.item_id for group in _shown(found) for each in group)
            console.out.print(_table(found, analysis_output.texts(client, shown)))


def _gathered(answers: Iterable[akin.FindDuplicatesResponse]) -> akin.FindDuplicatesResponse:
    """All groups as one answer; shows meanwhile how far it has come."""
    whole = akin.FindDuplicatesResponse()
    columns = (TextColumn("duplicates"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=console.err, disable=hidden, transient=True) as bar:
        task = bar.add_task("", total=None)
        for each in answers:
            whole.groups.extend(each.groups)
            whole.extent.CopyFrom(each.extent)
            done, total = each.extent.examined_count, each.extent.item_count
            bar.update(task, completed=done, total=total)
    return whole


def _shown(found: akin.FindDuplicatesResponse) -> Iterator[list[akin.DuplicateItem]]:
    for group in islice(found.groups, GROUPS):
        yield list(islice(group.items, ITEMS))


def _table(found: akin.FindDuplicatesResponse, texts: dict[str, str]) -> Table:
    groups = analysis_output.groups(len(found.groups))
    cut = len(found.groups) > GROUPS or any(len(each.items) > ITEMS for each in found.groups)
    more = "--json tells all items" if cut else None
    title = f"{groups} of duplicates {analysis_output.among(found.extent)}"
    table = console.titled(
        title, analysis_output.caption(analysis_output.sample(found.extent), more)
    )
    table.add_column("group", justify="right")
    table.add_column("similarity", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("what it is")
    for place, (group, shown) in enumerate(zip(found.groups, _shown(found), strict=False), start=1):
        for first, each in zip((True, *[False] * ITEMS), shown, strict=False):
            text = console.start(texts.get(each.item_id, ""))
            similarity = "" if first else f"{each.similarity:.3f}"
            table.add_row(str(place) if first else "", similarity, each.item_id, text)
        left = len(group.items) - len(shown)
        if left:
            table.add_row("", "", f"and {left:,} more", "")
        table.add_section()
    return table
