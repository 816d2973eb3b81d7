"""Types of columns of text: numbers and booleans where every cell can become one unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from typing import assert_never

from service.cli.formats.rows import LineError

# As in JSON, but codes such as 00123 and 2E7 stay text: no leading zero, and exponents with a sign.
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]\d+)?", re.ASCII)

# Longer numbers have more digits than a double.
_MAX_NUMBER_CHARACTERS = 40

_BOOLEANS = {"true": True, "false": False}


class CellType(Enum):
    """The type of the values in a column."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"


def infer_type(cells: Iterable[str]) -> CellType:
    """Return the type that all cells of a column have; empty cells fit every type."""
    values = {cell for cell in cells if cell}
    if not values:
        return CellType.TEXT
    if all(is_exact_number(value) for value in values):
        return CellType.NUMBER
    if all(value.lower() in _BOOLEANS for value in values):
        return CellType.BOOLEAN
    return CellType.TEXT


def convert_cell(cell: str, cell_type: CellType, column: str) -> str | float | bool:
    """Return the value of a cell that is not empty.

    Raises:
        LineError: the cell does not have the type.
    """
    match cell_type:
        case CellType.TEXT:
            return cell
        case CellType.NUMBER if is_exact_number(cell):
            return float(cell) if {".", "e", "E"} & set(cell) else int(cell)
        case CellType.BOOLEAN if cell.lower() in _BOOLEANS:
            return _BOOLEANS[cell.lower()]
        case CellType.NUMBER | CellType.BOOLEAN:
            raise LineError(
                f"{column}: not a {cell_type.value} that can be stored exactly, unlike the first "
                f"cells of the column; --as-text {column} stores all its cells as text"
            )
        case _:
            assert_never(cell_type)


def is_exact_number(cell: str) -> bool:
    """Is a cell a JSON number that a double holds: an exact integer, or the same decimals?"""
    if len(cell) > _MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(cell):
        return False
    value = float(cell)
    if cell.lstrip("-").isdecimal():
        return int(value) == int(cell)
    return Decimal(repr(value)) == Decimal(cell)
