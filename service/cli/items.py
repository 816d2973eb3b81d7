"""`akin items`: prints, lists, deletes and changes items of a catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import akin
import typer
from akin.options import UpdateItemOptions
from rich.table import Table

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.attribute_options import parse_attributes
from service.cli.command_group import CommandGroup
from service.cli.connection import open_client
from service.cli.entry_output import (
    exit_if_missing,
    list_pages,
    print_entries,
    print_entry_table,
)
from service.cli.filter_option import FILTER_EXAMPLE
from service.domain import limits

items_app = CommandGroup(help="Print, list, delete and change items.", no_args_is_help=True)

# Items with the longest texts and attributes that fit into one message.
_FETCHED_ITEMS = 10

# Columns of the attributes of an item in a list; --json prints all of them.
_ATTRIBUTES_COLUMNS = 40

ItemIdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the items.")]


@items_app.command("get")
def print_items(
    ids: ItemIdsArgument,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonLinesOption = False,
) -> None:
    """Print items with all their fields."""
    missing: list[str] = []
    with open_client(address) as client:
        print_entries(_fetch(client, ids, missing), _print_item, as_json=as_json)
    exit_if_missing("item", missing)


@items_app.command("list")
def print_item_list(
    filter_json: options.FilterOption = None,
    limit: options.ListLimitOption = options.LIST_LIMIT,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonLinesOption = False,
) -> None:
    """List items by ascending id."""
    filter_ = options.parse_filter(filter_json)
    size = min(limit or limits.PAGE_ITEMS, limits.PAGE_ITEMS)
    with open_client(address) as client:
        pages = list_pages(lambda token: client.list_items(size, token, where=filter_))
        entries = ((page.items, page.total_size) for page in pages)
        print_entry_table(entries, _add_item, _build_table(), limit, "item", as_json=as_json)


@items_app.command("delete")
def delete_items(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of the items.")
    ] = None,
    filter_json: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="JSON",
            help=f"Delete all items that match a Filter message in JSON: {FILTER_EXAMPLE}.",
        ),
    ] = None,
    confirmed: options.YesOption = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
) -> None:
    """Delete items by their ids, or those that match a filter.

    If one of the ids does not exist, nothing is deleted.
    """
    if bool(ids) == (filter_json is not None):
        raise typer.BadParameter("give ids or --filter")
    filter_ = options.parse_filter(filter_json)
    with open_client(address) as client:
        chosen = list(dict.fromkeys(ids or ()))
        if filter_ is None:
            count = _count_existing(client, chosen)
        else:
            count = client.batch_delete_items(where=filter_, validate_only=True).deleted_count
        if count and not confirmed:
            which = "" if filter_ is None else " (all that match the filter)"
            typer.confirm(f"Delete {format_count(count, 'item')}{which}?", abort=True)
        if filter_ is None:
            groups = [
                client.batch_delete_items(group) for group in _split(chosen, limits.BATCH_ITEMS)
            ]
            deleted = sum(response.deleted_count for response in groups)
        else:
            deleted = client.batch_delete_items(where=filter_).deleted_count if count else 0
    console.print_line(f"deleted {format_count(deleted, 'item')}")


@items_app.command("update")
def update_item(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the item.")],
    text: Annotated[str | None, typer.Option(help="New text. Default: unchanged.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Attribute to add or replace. The value is JSON, or else a text: price=79, "
            "color=red, 'sizes=[41, 42]', 'code=\"007\"'. Repeatable.",
        ),
    ] = None,
    removed: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="KEY", help="Attribute to remove. Repeatable."),
    ] = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Change the text or single attributes of an item. Everything else stays as it is."""
    attributes = parse_attributes(assignments, removed)
    paths = [f"attributes.{key}" for key in (*attributes, *(removed or ()))]
    if text is None and not paths:
        raise typer.BadParameter("give --text, --set or --unset")
    changes: UpdateItemOptions = {"attributes": attributes, "update_mask": paths}
    if text is not None:
        changes["text"] = text
        paths.append("text")
    with open_client(address) as client:
        try:
            response = client.update_item(item_id, **changes)
        except akin.AkinError as exc:
            exit_if_missing("item", [item_id] if exc.reason == "ITEM_NOT_FOUND" else [])
            raise
    if as_json:
        console.print_message(response.item)
    else:
        console.print_line(f"updated {item_id}: sequence {response.item.sequence}")


def _split(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _fetch(client: akin.Client, ids: Iterable[str], missing: list[str]) -> Iterator[akin.Item]:
    """Yield the items that exist, and add the other ids to `missing`."""
    for group in _split(list(dict.fromkeys(ids)), _FETCHED_ITEMS):
        response = client.batch_get_items(group)
        yield from response.items
        missing.extend(response.missing_item_ids)


def _count_existing(client: akin.Client, ids: Sequence[str]) -> int:
    """Return the number of different ids; exit with status 1 if an item does not exist."""
    existing = sum(
        client.batch_delete_items(group, validate_only=True).deleted_count
        for group in _split(ids, limits.BATCH_ITEMS)
    )
    if existing < len(ids):
        missing: list[str] = []
        for _ in _fetch(client, ids, missing):
            pass
        exit_if_missing("item", missing)
    return existing


def _add_item(table: Table, item: akin.Item) -> None:
    attributes = console.shorten(_describe_attributes(item), _ATTRIBUTES_COLUMNS)
    table.add_row(item.item_id, console.shorten(item.text), attributes, _describe_state(item))


def _build_table() -> Table:
    table = console.build_table()
    table.add_column("item")
    for name in ("text", "attributes", "state"):
        table.add_column(name)
    return table


def _print_item(item: akin.Item) -> None:
    lines = [item.text]
    if item.attributes.fields:
        lines.append(f"attributes: {_describe_attributes(item)}")
    if item.HasField("expire_time"):
        lines.append(f"expires: {item.expire_time.ToJsonString()}")
    if item.pending_reason:
        lines.append(f"pending: {item.pending_reason}: {item.pending_message}")
    lines.append(f"updated: {item.update_time.ToJsonString()}")
    heading = f"{item.item_id}  {_describe_state(item)}, sequence {item.sequence}"
    console.print_entry(heading, lines)


def _describe_attributes(item: akin.Item) -> str:
    return console.to_json_line(console.to_dict(item).get("attributes", {}))


def _describe_state(item: akin.Item) -> str:
    return "pending" if item.state == akin.ItemState.ITEM_STATE_PENDING else "indexed"
