"""Reads lists page by page, and prints items and users as `akin items` and `akin users` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message
from rich.table import Table

from service.cli import console, options
from service.cli.analysis_output import format_names

EntryT = TypeVar("EntryT", bound=Message)


class ListedPage(Protocol):
    """A response that lists one page."""

    next_page_token: str


PageT = TypeVar("PageT", bound=ListedPage)


def list_pages(fetch: Callable[[str], PageT]) -> Iterator[PageT]:
    """Yield all pages.

    Args:
        fetch: returns the page of a token; that of the first page is empty.
    """
    page = fetch("")
    yield page
    while page.next_page_token:
        page = fetch(page.next_page_token)
        yield page


def print_entries(
    entries: Iterable[EntryT], print_entry: Callable[[EntryT], None], *, as_json: bool
) -> None:
    """Print whole entries as they arrive."""
    for entry in entries:
        if as_json:
            console.print_json_line(console.to_dict(entry))
        else:
            print_entry(entry)


def print_entry_table(
    pages: Iterable[tuple[Sequence[EntryT], int]],
    add_row: Callable[[Table, EntryT], None],
    table: Table,
    limit: int,
    noun: str,
    *,
    as_json: bool,
) -> None:
    """Print a list as a table, or at once as JSON lines, and say if there are more entries.

    Args:
        pages: the entries of each page, and the number of entries on all pages.
        add_row: adds an entry to the table.
        table: has the columns.
        limit: the maximum number of entries; 0 means all.
        noun: what an entry is.
        as_json: print JSON lines.
    """
    printed = total = 0
    for page_entries, page_total in pages:
        total = page_total
        entries = page_entries[: limit - printed] if limit else page_entries
        printed += len(entries)
        print_entries(entries, lambda entry: add_row(table, entry), as_json=as_json)
        if printed == limit:
            break
    if not as_json:
        console.out.print(table)
    options.report_rest(printed, total, noun)


def exit_if_missing(noun: str, missing: Sequence[str]) -> None:
    """Exit with status 1 if entries do not exist, and name their ids."""
    if missing:
        console.exit_with_error(f"no such {format_names(noun, missing)}")
