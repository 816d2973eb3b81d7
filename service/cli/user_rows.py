"""Turns rows of a table into users, whose lists are JSON in the cells of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.cli.formats.json_values import JsonDecoder
from service.cli.formats.rows import LineError, Row

_LISTS = frozenset({"preferences", "liked", "liked_items"})


def has_users(columns: Sequence[str]) -> bool:
    """Are these the columns of a table of users?"""
    return "user_id" in columns and bool(_LISTS.intersection(columns))


class UserTable:
    """Maps rows of a table to the JSON objects of users.

    Args:
        rows: the rows.
    """

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows

    def describe(self) -> str:
        """Return how the rows are read, in one line."""
        return "users: one in each row"

    def rows(self) -> Iterator[Row]:
        """Yield the rows as JSON objects of users, or with their errors."""
        for row in self._rows:
            if not isinstance(row.value, dict):
                yield row
                continue
            try:
                fields = {name: _convert(name, value) for name, value in row.value.items()}
            except LineError as exc:
                yield Row(row.number, exc)
            else:
                yield Row(row.number, fields)


def _convert(name: str, value: object) -> object:
    """Return the list of a cell that has one as JSON; an empty list for an empty cell.

    Raises:
        LineError: the cell is not JSON.
    """
    if name not in _LISTS or not isinstance(value, str):
        return value
    if not value:
        return []
    try:
        return JsonDecoder().decode(value)
    except LineError as exc:
        raise LineError(f"{name}: {exc}") from None
