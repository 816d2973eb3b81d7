"""JSON values of messages, in which every number is a double."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

# Integers up to this one fit into a double exactly; of greater ones only some do.
_MAX_SAFE_INTEGER = 2**53

# Bits of an integer whose digits can be shown: Python refuses to write more than 4,300 digits.
_SHOWN_BITS = 1_000

# Characters of a number in an error message.
_SHOWN_CHARACTERS = 20


def check_numbers(value: object, path: str) -> None:
    """Check that a double can hold all numbers of a JSON value unchanged.

    Args:
        value: the value; types that JSON lacks are ignored.
        path: name of the value in an error message.

    Raises:
        ValueError: a number would be rounded, or is not finite.
    """
    if isinstance(value, int):
        if not -_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER and not _is_exact(value):
            raise ValueError(
                f"{path}: the number {_show(value)} cannot be stored exactly; use a string"
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value} is not a finite number")
    elif isinstance(value, Mapping):
        for key, child in value.items():
            check_numbers(child, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for position, child in enumerate(value):
            check_numbers(child, f"{path}[{position}]")


def _is_exact(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _show(value: int) -> str:
    bits = value.bit_length()
    digits = str(value) if bits <= _SHOWN_BITS else f"of {bits} bits"
    return digits if len(digits) <= _SHOWN_CHARACTERS else f"{digits[:_SHOWN_CHARACTERS]}..."
