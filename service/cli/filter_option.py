"""The option --filter: a filter in JSON, whose errors name the invalid part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import akin
from akin import filters
from google.protobuf.json_format import ParseDict, ParseError

from service.cli.field_names import suggest
from service.cli.formats.json_values import JsonDecoder
from service.cli.formats.rows import LineError

FILTER_EXAMPLE = '{"all": [{"attribute": "price", "range": {"lt": 100}}]}'

_LISTS = ("all", "any", "none")
_BOUNDS = ("gt", "gte", "lt", "lte")

# In the message of protobuf about too many levels.
_TOO_DEEP = "Max recursion depth"


class FilterError(Exception):
    """A text is no filter; the message says which part is wrong."""


def decode_filter(text: str) -> akin.Filter:
    """Return the filter of a text in JSON. The server validates its values and its size.

    Raises:
        FilterError: the text is not JSON, has another form than a filter, or has a number that a
            double cannot hold.
    """
    try:
        value = JsonDecoder().decode(text)
    except LineError as exc:
        raise FilterError(str(exc)) from None
    try:
        return ParseDict(_check_filter(value, ""), akin.Filter())
    except RecursionError:
        raise FilterError("too many levels of brackets") from None
    except ParseError as exc:
        is_too_deep = _TOO_DEEP in str(exc)
        raise FilterError("too many levels of brackets" if is_too_deep else str(exc)) from None


def _check_filter(value: object, path: str) -> dict[str, Any]:
    fields = _check_object(value, path, _LISTS)
    for name, conditions in fields.items():
        if not isinstance(conditions, list):
            raise FilterError(f"{path}{name}: must be a list of conditions, in square brackets")
        for number, condition in enumerate(conditions):
            _check_condition(condition, f"{path}{name}[{number}].")
    return fields


def _check_condition(value: object, path: str) -> None:
    fields = _check_object(value, path, ("attribute", *_TESTS))
    attribute = fields.get("attribute", "")
    if not isinstance(attribute, str):
        raise FilterError(f"{path}attribute: must be the name of an attribute, in double quotes")
    tests = [name for name in fields if name in _TESTS]
    if len(tests) != 1:
        actual = f"has {' and '.join(tests)}" if tests else "has no test"
        raise FilterError(
            f"{path.removesuffix('.')}: {actual}, but must have exactly one of {_list(_TESTS)}"
        )
    _TESTS[tests[0]](fields[tests[0]], f"{path}{tests[0]}")


def _check_value(value: object, path: str) -> None:
    """Check that the numbers of a value can be stored; the rest is left to the server."""
    if isinstance(value, list):
        for number, element in enumerate(value):
            _check_value(element, f"{path}[{number}]")
    elif isinstance(value, dict):
        for name, element in value.items():
            _check_value(element, f"{path}.{name}")
    elif isinstance(value, int):
        try:
            filters.equals(path, value)
        except ValueError as exc:
            raise FilterError(str(exc)) from None


def _check_values(value: object, path: str) -> None:
    if not isinstance(value, list):
        raise FilterError(f"{path}: must be a list of values, in square brackets")
    _check_value(value, path)


def _check_range(value: object, path: str) -> None:
    for name, bound in _check_object(value, f"{path}.", _BOUNDS).items():
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise FilterError(
                f"{path}.{name}: must be a number; a time is in seconds since 1970-01-01 UTC"
            )
        _check_value(bound, f"{path}.{name}")


def _check_exists(value: object, path: str) -> None:
    if not isinstance(value, bool):
        raise FilterError(f"{path}: must be true or false")


_TESTS: Mapping[str, Callable[[object, str], object]] = MappingProxyType(
    {
        "equals": _check_value,
        "one_of": _check_values,
        "contains_any": _check_values,
        "range": _check_range,
        "exists": _check_exists,
        "filter": lambda value, path: _check_filter(value, f"{path}."),
    }
)


def _check_object(value: object, path: str, names: Collection[str]) -> dict[str, Any]:
    """Return a value that must be an object with fields of these names only."""
    place = f"{path.removesuffix('.')}: " if path else ""
    if not isinstance(value, dict):
        raise FilterError(f"{place}must be an object, in braces, with {_list(names)}")
    for name in value:
        if name not in names:
            close = suggest(name, names)
            advice = f"did you mean {close}?" if close else f"must be {_list(names)}"
            raise FilterError(f"{path}{name}: unknown field; {advice}")
    return value


def _list(names: Collection[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
