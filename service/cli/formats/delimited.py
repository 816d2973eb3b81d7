"""CSV and TSV: a header with the names of the columns unless they are given, and one row a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from service.cli.analysis_output import format_count
from service.cli.formats.rows import (
    MAX_LINE_BYTES,
    FileError,
    LineError,
    Records,
    Row,
    check_columns,
    check_encoding,
    exceeds_bytes,
)

if TYPE_CHECKING:
    from _csv import Reader

# Spreadsheets write semicolons where the comma is the decimal separator. The older data sets of
# MovieLens have two colons.
_TWO_COLONS = "::"
_DELIMITERS = (",", "\t", ";", _TWO_COLONS)

# Stands for two colons, because the csv module accepts only single characters. Texts lack it.
_UNIT_SEPARATOR = "\x1f"


def find_delimiter(line: str) -> str:
    """Return the delimiter of a header, the most frequent one; empty if it has none."""
    delimiter = max(_DELIMITERS, key=line.count)
    return delimiter if delimiter in line else ""


def read_delimited(stream: BinaryIO, delimiter: str, columns: Sequence[str] = ()) -> Records:
    """Return the rows after the header; all cells are strings.

    Args:
        stream: the text.
        delimiter: what separates the cells.
        columns: names of the columns of a table without a header; by default, it has one.

    Raises:
        FileError: the header is invalid.
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = _open_reader(_read_lines(stream), delimiter)
    names = list(columns) or _read_header(reader)
    return Records(_read_rows(reader, names), names, is_text=True)


def _open_reader(lines: Iterator[str], delimiter: str) -> Reader:
    if delimiter != _TWO_COLONS:
        return csv.reader(lines, delimiter=delimiter, strict=True)
    lines = (line.replace(_TWO_COLONS, _UNIT_SEPARATOR) for line in lines)
    return csv.reader(lines, delimiter=_UNIT_SEPARATOR, quoting=csv.QUOTE_NONE)


def _read_header(reader: Reader) -> list[str]:
    try:
        columns = [name.strip() for name in next(cells for cells in reader if cells)]
    except csv.Error as exc:
        raise FileError(f"the header is invalid: {exc}") from None
    try:
        check_columns(columns)
    except FileError as exc:
        hint = "if the first line is no header, name the columns with --columns"
        raise FileError(f"{exc}; {hint}") from None
    return columns


def _read_rows(reader: Reader, columns: list[str]) -> Iterator[Row]:
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            # After a wrong quote, the reader takes the following lines for a part of the row.
            last = reader.line_num
            lost = f"; lines {number} to {last} are not imported" if last > number else ""
            yield Row(number, LineError(f"not a row: {exc}{lost}"))
            continue
        if cells:
            yield Row(number, _build_row(columns, cells))


def _build_row(columns: list[str], cells: list[str]) -> dict[str, str] | LineError:
    if len(cells) != len(columns):
        expected = format_count(len(columns), "column")
        return LineError(f"{format_count(len(cells), 'cell')}, but the table has {expected}")
    line = "".join(cells)
    if exceeds_bytes(line, MAX_LINE_BYTES):
        return LineError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        check_encoding(line)
    except LineError as exc:
        return exc
    return dict(zip(columns, cells, strict=True))


def _read_lines(stream: BinaryIO) -> Iterator[str]:
    text = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
    number = 0
    while line := text.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(("\n", "\r")):
            raise FileError(f"line {number} is longer than {MAX_LINE_BYTES} bytes")
        yield line
