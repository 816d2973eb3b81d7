"""Finds out what the rows of a file are: items, users or interactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from service.cli.field_names import is_text
from service.cli.formats.rows import FileError, Records, Row
from service.cli.interaction_builder import InteractionOptions
from service.cli.interaction_fields import has_user_and_item, lacks_only_item
from service.cli.interaction_rows import InteractionObjects, InteractionTable
from service.cli.table_columns import list_columns, take_sample
from service.cli.table_mapping import TableMapping, TableOptions
from service.cli.user_rows import UserTable, has_users


def map_rows(
    records: Records,
    table: TableOptions,
    interactions: InteractionOptions,
    report: Callable[[str], object],
) -> Iterator[Row]:
    """Return the rows: items and users as JSON objects, and interactions as messages.

    Args:
        records: the content of the file.
        table: the options for tables.
        interactions: the options for interactions.
        report: receives lines that say how the rows are read.

    Raises:
        FileError: the options do not suit the columns.
    """
    if records.columns is None and not table.is_set() and not interactions.is_forced:
        return InteractionObjects(records.rows, interactions, report).rows()
    sample = take_sample(records.rows) if records.columns is None else []
    objects = [row.value for row in sample if isinstance(row.value, dict)]
    columns = list_columns(records.columns, objects)
    rows = chain(sample, records.rows)
    mapping: InteractionTable | TableMapping | UserTable
    if has_users(columns) and not table.is_set() and not interactions.is_set():
        mapping = UserTable(rows)
    elif _has_interactions(columns, table, interactions):
        mapping = InteractionTable(rows, columns, interactions)
    else:
        mapping = TableMapping(records._replace(rows=rows), table)
    report(mapping.describe())
    return mapping.rows()


def _has_interactions(
    columns: Sequence[str], table: TableOptions, interactions: InteractionOptions
) -> bool:
    """Are the rows of a table interactions, because of the options or else of the columns?

    Raises:
        FileError: the options exclude each other, or the columns fit items and interactions.
    """
    for_items = table.get_item_options()
    if interactions.is_set():
        if for_items:
            raise FileError(f"{for_items[0]} is for items, and the rows are interactions")
        return True
    if for_items:
        return False
    if {"user_id", "item_id"} & table.columns.keys():
        return True
    if {"id", "text"} <= set(columns):
        return False
    if not has_user_and_item(columns):
        # Without an id, the rows are no items, and the error names the column that is missing.
        return lacks_only_item(columns) and "id" not in columns
    if texts := [column for column in columns if is_text(column)]:
        raise FileError(
            f"the rows have a user and an item, and {texts[0]} can be the text of an item; use "
            "--interactions to import interactions, or --map id=COLUMN and --map text=COLUMN to "
            "import items"
        )
    return True
