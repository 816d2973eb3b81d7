"""Numbers as they were before the contract, which has one type of numbers, made doubles of them.

Keys of objects are in alphabetical order: the contract does not keep the order of an item's
attributes.
"""

from __future__ import annotations

from collections.abc import Mapping

# Integers up to this one have an exact double, and are printed without a decimal point.
_MAX_EXACT_INTEGER = 2.0**53


def to_json_number(number: float) -> int | float:
    """Return an integer where it has the same JSON number; not for -0, whose sign it would lose."""
    is_exact = number.is_integer() and abs(number) <= _MAX_EXACT_INTEGER
    is_negative_zero = not number and str(number).startswith("-")
    return int(number) if is_exact and not is_negative_zero else number


def restore_fields(fields: Mapping[str, object], *, sort_keys: bool = False) -> dict[str, object]:
    """Return a JSON object with integers in place of doubles that have no fraction.

    Args:
        fields: the object. Below the key `attributes`, keys are sorted.
        sort_keys: sort the keys on all levels.
    """
    return {
        name: _restore_value(fields[name], sort_keys=sort_keys or name == "attributes")
        for name in (sorted(fields) if sort_keys else fields)
    }


def _restore_value(value: object, *, sort_keys: bool) -> object:
    match value:
        case float():
            return to_json_number(value)
        case dict():
            return restore_fields(value, sort_keys=sort_keys)
        case list():
            return [_restore_value(element, sort_keys=sort_keys) for element in value]
        case _:
            return value
