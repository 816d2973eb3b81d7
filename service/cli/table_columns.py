"""Columns of a table, and the rows that tell what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from service.cli.field_names import suggest
from service.cli.formats.rows import FileError, Row

# Rows that determine the types of columns, and the most characters and list entries in these rows.
SAMPLE_ROWS = 1_000
SAMPLE_CHARACTERS = 16 * 1024 * 1024

_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def take_sample(rows: Iterator[Row]) -> list[Row]:
    """Take the first rows."""
    sample: list[Row] = []
    characters = 0
    while len(sample) < SAMPLE_ROWS and characters < SAMPLE_CHARACTERS:
        row = next(rows, None)
        if row is None:
            break
        sample.append(row)
        if isinstance(row.value, dict):
            characters += sum(map(_measure, row.value.values()))
    return sample


def _measure(cell: object) -> int:
    """Return the number of characters of a text, or of values in a list of texts or vectors."""
    match cell:
        case str():
            return len(cell)
        case list():
            return len(cell) + sum(_measure(part) for part in cell if isinstance(part, str | list))
        case _:
            return 0


def list_columns(
    columns: Sequence[str] | None, objects: Iterable[Mapping[str, object]]
) -> Sequence[str]:
    """Return the columns of a table, or the fields of the first JSON objects."""
    return list(dict.fromkeys(chain.from_iterable(objects))) if columns is None else columns


def describe_columns(columns: Sequence[str]) -> str:
    """Return the names of columns, for an error; it says so if they are probably no names."""
    listed = ", ".join(columns)
    if any(map(_NUMBER.fullmatch, columns)):
        return f"{listed} (if the first line is no header, name the columns with --columns)"
    return listed


def require_column(option: str, column: str, columns: Sequence[str]) -> None:
    """Check that the table has a column.

    Raises:
        FileError: it has not; the error names the option and the column that was probably meant.
    """
    if column not in columns:
        likely = suggest(column, columns)
        hint = f"; did you mean {likely}?" if likely else ""
        raise FileError(
            f"{option}: there is no column {column}{hint} ({describe_columns(columns)})"
        )
