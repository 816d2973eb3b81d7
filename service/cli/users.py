"""`akin users`: prints, lists, deletes and changes users of a catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import akin
import typer
from akin.options import UpdateUserOptions
from rich.table import Table

from service.cli import console, options
from service.cli.analysis_output import format_count
from service.cli.command_group import CommandGroup
from service.cli.connection import open_client
from service.cli.entry_output import (
    exit_if_missing,
    list_pages,
    print_entries,
    print_entry_table,
)
from service.domain import limits

users_app = CommandGroup(help="Print, list, delete and change users.", no_args_is_help=True)

UserIdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the users.")]


@users_app.command("get")
def print_users(
    ids: UserIdsArgument,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonLinesOption = False,
) -> None:
    """Print users with all their fields."""
    missing: list[str] = []
    with open_client(address) as client:
        print_entries(_fetch(client, ids, missing), _print_user, as_json=as_json)
    exit_if_missing("user", missing)


@users_app.command("list")
def print_user_list(
    limit: options.ListLimitOption = options.LIST_LIMIT,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonLinesOption = False,
) -> None:
    """List users by ascending id."""
    size = min(limit or limits.PAGE_ITEMS, limits.PAGE_ITEMS)
    with open_client(address) as client:
        pages = list_pages(lambda token: client.list_users(size, token))
        entries = ((page.users, page.total_size) for page in pages)
        print_entry_table(entries, _add_user, _build_table(), limit, "user", as_json=as_json)


@users_app.command("delete")
def delete_users(
    ids: UserIdsArgument,
    confirmed: options.YesOption = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
) -> None:
    """Delete users by their ids. Their interactions stay.

    If one of the ids does not exist, nothing is deleted.
    """
    chosen = list(dict.fromkeys(ids))
    missing: list[str] = []
    with open_client(address) as client:
        for _ in _fetch(client, chosen, missing):
            pass
        exit_if_missing("user", missing)
        if not confirmed:
            typer.confirm(f"Delete {format_count(len(chosen), 'user')}?", abort=True)
        for user_id in chosen:
            client.delete_user(user_id, allow_missing=True)
    console.print_line(f"deleted {format_count(len(chosen), 'user')}")


@users_app.command("update")
def update_user(
    user_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the user.")],
    preferences: Annotated[
        list[str] | None,
        typer.Option(
            "--preference",
            metavar="TEXT",
            help="New preference; replaces all former ones. Repeatable. An empty text removes all.",
        ),
    ] = None,
    liked: Annotated[
        list[str] | None,
        typer.Option(
            "--liked",
            metavar="ID",
            help="Id of a liked item, oldest first; replaces all former ones. Repeatable. An empty "
            "id removes all.",
        ),
    ] = None,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
    as_json: options.JsonOption = False,
) -> None:
    """Replace the preferences or the liked items of a user. The others stay as they are.

    All of them get the weight 1. For other weights, import the user with akin import.
    """
    changes: UpdateUserOptions = {}
    paths: list[str] = []
    if preferences:
        changes["preferences"] = [text for text in preferences if text]
        paths.append("preferences")
    if liked:
        changes["liked_items"] = [item_id for item_id in liked if item_id]
        paths.append("liked_items")
    if not paths:
        raise typer.BadParameter("give --preference or --liked")
    changes["update_mask"] = paths
    with open_client(address) as client:
        try:
            user = client.update_user(user_id, **changes).user
        except akin.AkinError as exc:
            exit_if_missing("user", [user_id] if exc.reason == "USER_NOT_FOUND" else [])
            raise
    if as_json:
        console.print_message(user)
    else:
        console.print_line(f"updated {user_id}: sequence {user.sequence}")


def _fetch(client: akin.Client, ids: Iterable[str], missing: list[str]) -> Iterator[akin.User]:
    """Yield the users that exist, and add the other ids to `missing`."""
    for user_id in dict.fromkeys(ids):
        try:
            yield client.get_user(user_id)
        except akin.AkinError as exc:
            if exc.reason != "USER_NOT_FOUND":
                raise
            missing.append(user_id)


def _add_user(table: Table, user: akin.User) -> None:
    preferences = "; ".join(
        f"{preference.text}{_describe_weight(preference.weight)}" for preference in user.preferences
    )
    disliked = sum(item.weight < 0 for item in user.liked_items)
    liked = len(user.liked_items) - disliked
    table.add_row(user.user_id, console.shorten(preferences), f"{liked:,}", f"{disliked:,}")


def _describe_weight(weight: float) -> str:
    """Return a weight in brackets; empty for the usual weight, which 0 stands for too."""
    return "" if weight in {0, 1} else f" [{weight:g}]"


def _build_table() -> Table:
    table = console.build_table()
    table.add_column("user")
    table.add_column("preferences [weight]")
    table.add_column("liked", justify="right")
    table.add_column("disliked", justify="right")
    return table


def _print_user(user: akin.User) -> None:
    lines = [
        f"{'disliked preference' if preference.weight < 0 else 'preference'}, weight "
        f"{preference.weight or 1:g}: {preference.text}"
        for preference in user.preferences
    ]
    lines += [
        f"{'disliked' if item.weight < 0 else 'liked'}, weight {item.weight or 1:g}: {item.item_id}"
        for item in user.liked_items
    ]
    lines.append(f"updated: {user.update_time.ToJsonString()}")
    console.print_entry(f"{user.user_id}  sequence {user.sequence}", lines)
