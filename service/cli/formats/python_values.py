"""Values of Parquet and of databases as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from service.cli.formats.rows import LineError


def to_json_value(value: Any, path: str) -> object:  # noqa: ANN401  (databases have many types)
    """Return a value of Parquet or of a database as a JSON value.

    Times become text as in RFC 3339, and decimals become numbers.

    Args:
        value: the value; a LineError stands for one that Python lacks.
        path: its name in an error message.

    Raises:
        LineError: JSON has no equal value.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case LineError():
            raise LineError(f"{path}: {value}")
        case float():
            if not math.isfinite(value):
                raise LineError(f"{path}: {value} cannot be stored; use null")
            return value
        case Decimal():
            number = int(value) if value == value.to_integral_value() else float(value)
            if isinstance(number, float) and Decimal(repr(number)) != value:
                raise LineError(f"{path}: the number {value} cannot be stored exactly; use text")
            return number
        case datetime() | date() | time():
            return value.isoformat()
        case Mapping():
            return {str(key): to_json_value(child, f"{path}.{key}") for key, child in value.items()}
        case Sequence() if not isinstance(value, bytes):
            return [to_json_value(child, f"{path}[{number}]") for number, child in enumerate(value)]
        case _:
            raise LineError(f"{path}: has the type {type(value).__name__}, which JSON lacks")
