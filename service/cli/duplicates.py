"""`akin duplicates`: prints groups of near-duplicate items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

import akin
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from service.cli import analysis_output, console, options
from service.cli.connection import open_client

# Groups in a table; --json prints all of them.
TABLE_GROUPS = 30

# Items of a group in a table; --json prints all of them.
TABLE_GROUP_ITEMS = 5


def print_duplicates(
    item: Annotated[
        str, typer.Option(help="Id of the item to find near-duplicates of. Default: all items.")
    ] = "",
    min_similarity: Annotated[
        float | None,
        typer.Option(
            help="Minimum cosine similarity of two items whose texts are compared, from -1 to 1. "
            "Default: 0.8."
        ),
    ] = None,
    filter_json: options.FilterOption = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Print groups of near-duplicate items, largest group first."""
    filter_ = options.parse_filter(filter_json)
    with open_client(address) as client:
        responses = client.find_duplicates(
            item_id=item, min_similarity=min_similarity, where=filter_
        )
        result = _collect(responses)
        if as_json:
            console.print_message(result, with_zeros=True)
        elif result.groups:
            ids = (item.item_id for items in _list_table_items(result) for item in items)
            texts = analysis_output.fetch_texts(client, ids)
            console.out.print(_build_table(result, texts))
        else:
            items = analysis_output.format_count(result.coverage.item_count, "item")
            sample = analysis_output.describe_sample(result.coverage)
            message = f"no near-duplicates among {items}"
            console.print_line(analysis_output.join_captions(message, sample) or message)


def _collect(responses: Iterable[akin.FindDuplicatesResponse]) -> akin.DuplicateGroups:
    """Return the groups of all events as one message, and show the progress until then."""
    result = akin.DuplicateGroups()
    columns = (TextColumn("duplicates"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_progress_visible()
    with Progress(*columns, console=console.err, disable=hidden, transient=True) as bar:
        task = bar.add_task("", total=None)
        for response in responses:
            if response.WhichOneof("event") == "progress":
                coverage = response.progress.coverage
                bar.update(task, completed=coverage.examined_item_count, total=coverage.item_count)
            else:
                result.groups.extend(response.groups.groups)
                result.coverage.CopyFrom(response.groups.coverage)
    return result


def _list_table_items(result: akin.DuplicateGroups) -> Iterator[list[akin.DuplicateItem]]:
    for group in islice(result.groups, TABLE_GROUPS):
        yield list(islice(group.items, TABLE_GROUP_ITEMS))


def _build_table(result: akin.DuplicateGroups, texts: dict[str, str]) -> Table:
    groups = analysis_output.format_count(len(result.groups), "group")
    items = analysis_output.format_count(result.coverage.item_count, "item")
    shortened = len(result.groups) > TABLE_GROUPS or any(
        len(group.items) > TABLE_GROUP_ITEMS for group in result.groups
    )
    table = console.build_table(
        f"{groups} of near-duplicates among {items}",
        analysis_output.join_captions(
            analysis_output.describe_sample(result.coverage),
            "--json prints all items" if shortened else None,
        ),
    )
    table.add_column("group", justify="right")
    table.add_column("similarity", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("text")
    for number, (group, table_items) in enumerate(
        zip(result.groups, _list_table_items(result), strict=False), start=1
    ):
        _add_group(table, number, group, table_items, texts)
    return table


def _add_group(
    table: Table,
    number: int,
    group: akin.DuplicateGroup,
    table_items: list[akin.DuplicateItem],
    texts: dict[str, str],
) -> None:
    first, *others = table_items
    table.add_row(str(number), "", first.item_id, console.shorten(texts.get(first.item_id, "")))
    for item in others:
        text = console.shorten(texts.get(item.item_id, ""))
        table.add_row("", f"{item.similarity:.3f}", item.item_id, text)
    omitted = len(group.items) - len(table_items)
    if omitted:
        table.add_row("", "", f"and {omitted:,} more", "")
    if group.truncated:
        table.add_row("", "", "truncated", "the group has more items than the server returned")
    table.add_section()
