"""JSON values, decoded without a silent change: no lost digits, keys or characters."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from service.cli.formats.rows import LineError

# Literals of integers up to this length become integers, whose value the client then checks.
# Python refuses to convert more than 4,300 digits.
_MAX_INTEGER_CHARACTERS = 1_000

# Doubles from here on are integers, and not all integers are doubles.
_MIN_ROUNDED = 2.0**53

# Characters of a number in an error message.
_SHOWN_CHARACTERS = 20

_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_NONZERO_DIGIT = re.compile(r"[1-9]")


class _Invalid(NamedTuple):
    """Stands for a value that has no equal in Python or in the contract."""

    problem: str


class JsonDecoder:
    """Decodes JSON values.

    Raises LineError for a number that a double cannot hold, NaN, a key that occurs twice, and half
    of a surrogate pair. The standard decoder would round, accept or drop these.
    """

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder(
            parse_int=self._parse_int,
            parse_float=self._parse_float,
            parse_constant=self._parse_constant,
            object_pairs_hook=self._build_object,
        )
        self._has_invalid = False

    def decode(self, text: str) -> object:
        """Return the value of a text that contains nothing else.

        Raises:
            LineError: the text is not JSON, or contains something that would be changed.
        """
        start = len(text) - len(text.lstrip())
        try:
            value, end = self.decode_at(text, start)
        except json.JSONDecodeError as exc:
            raise LineError(f"not JSON: {exc.msg} at character {exc.pos + 1}") from None
        if text[end:].strip():
            raise LineError(f"not JSON: more text after the value, at character {end + 1}")
        if isinstance(value, LineError):
            raise value
        return value

    def decode_at(self, text: str, start: int) -> tuple[object | LineError, int]:
        """Return the value that begins at `start`, or why it is invalid, and its end.

        Raises:
            JSONDecodeError: there is no complete value.
        """
        self._has_invalid = False
        try:
            value, end = self._decoder.raw_decode(text, start)
        except RecursionError:
            raise json.JSONDecodeError("too many levels of brackets", text, start) from None
        if self._has_invalid or _SURROGATE_ESCAPE.search(text, start, end):
            problems = list(_list_problems(value, ""))
            if problems:
                return LineError("; ".join(problems)), end
        return value, end

    def _mark(self, problem: str) -> _Invalid:
        self._has_invalid = True
        return _Invalid(problem)

    def _parse_int(self, literal: str) -> int | _Invalid:
        if len(literal) > _MAX_INTEGER_CHARACTERS:
            return self._mark(_describe_lossy_number(literal))
        return int(literal)

    def _parse_float(self, literal: str) -> float | _Invalid:
        value = float(literal)
        mantissa, *exponent = re.split("[eE]", literal)
        is_underflow = value == 0 and _NONZERO_DIGIT.search(mantissa)
        # All digits of a large number are written only if they matter.
        is_rounded = not exponent and abs(value) >= _MIN_ROUNDED and Decimal(literal) != value
        if math.isinf(value) or is_underflow or is_rounded:
            return self._mark(_describe_lossy_number(literal))
        return value

    def _parse_constant(self, literal: str) -> _Invalid:
        return self._mark(f"{literal} is not a JSON number; use null")

    def _build_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            for key in value:
                if keys.count(key) > 1:
                    value[key] = self._mark("occurs twice")
        return value


def _describe_lossy_number(literal: str) -> str:
    shown = literal if len(literal) <= _SHOWN_CHARACTERS else f"{literal[:_SHOWN_CHARACTERS]}..."
    return f"the number {shown} cannot be stored exactly; use a string"


def _list_problems(value: object, path: str) -> Iterator[str]:
    prefix = f"{path}: " if path else ""
    match value:
        case _Invalid(problem):
            yield prefix + problem
        case str() if match_ := _SURROGATE.search(value):
            yield f"{prefix}contains half of a surrogate pair (\\u{ord(match_.group()):04x})"
        case dict():
            for key, child in value.items():
                yield from _list_problems(key, path)
                yield from _list_problems(child, f"{path}.{key}" if path else key)
        case list():
            for number, child in enumerate(value):
                yield from _list_problems(child, f"{path}[{number}]")
