"""JSON documents, decoded without a silent change: no lost digits, names or characters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor

from service import errors
from service.domain.violations import Violation
from service.http.json_messages import BODY, MAX_VIOLATIONS, find_field, is_structured

# Python needs 100 times the memory of a small value's text, and stops all calls while it reads a
# document. As many brackets, or commas, take up to 0.3 s. They count within strings as well.
MAX_BRACKETS = 500_000
MAX_COMMAS = 3_000_000

# All integers below are doubles, and those of fewer characters are below.
_MIN_ROUNDED = 2.0**53
_MIN_ROUNDED_CHARACTERS = 16

# Python refuses to convert more than 4,300 digits, and no double has more than 309.
_MAX_INTEGER_CHARACTERS = 1_000

# Smaller doubles have fewer digits, down to none.
_MIN_NORMAL = 2.0**-1022

_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_NONZERO_DIGIT = re.compile("[1-9]")

_INEXACT = "must be a number that can be stored exactly; use a string"
_NO_NUMBER = "must not be NaN or infinite, which are no numbers in JSON"
_REPEATED = "must be given once"
_HALF_PAIR = "must not contain half of a surrogate pair"
_HALF_PAIR_IN_NAME = "must not have a name with half of a surrogate pair"


class _Invalid(NamedTuple):
    """Stands for a value that has no equal in Python or in the contract."""

    description: str


class _Decoder:
    """Decodes one document; `has_invalid` says whether values are invalid."""

    def __init__(self) -> None:
        self.has_invalid = False

    def decode(self, data: bytes) -> object:
        """Return the value of a document, with _Invalid for each invalid value in it.

        Raises:
            ValueError: the document is no JSON in UTF-8.
            RecursionError: it has too many levels.
        """
        return json.loads(
            data.decode(),
            parse_int=self._parse_int,
            parse_float=self._parse_float,
            parse_constant=lambda _: self._mark(_NO_NUMBER),
            object_pairs_hook=self._make_object,
        )

    def _mark(self, description: str) -> _Invalid:
        self.has_invalid = True
        return _Invalid(description)

    def _parse_int(self, literal: str) -> int | _Invalid:
        if len(literal) < _MIN_ROUNDED_CHARACTERS:
            return int(literal)
        if len(literal) > _MAX_INTEGER_CHARACTERS:
            return self._mark(_INEXACT)
        value = int(literal)
        try:
            is_exact = float(value) == value
        except OverflowError:
            is_exact = False
        return value if is_exact else self._mark(_INEXACT)

    def _parse_float(self, literal: str) -> float | _Invalid:
        value = float(literal)
        if _MIN_NORMAL <= abs(value) < _MIN_ROUNDED:
            return value
        mantissa, *exponent = re.split("[eE]", literal)
        is_underflow = value == 0 and _NONZERO_DIGIT.search(mantissa)
        # All digits of a large number are written only if they matter.
        is_rounded = not exponent and abs(value) >= _MIN_ROUNDED and Decimal(literal) != value
        is_infinite = abs(value) == float("inf")
        return self._mark(_INEXACT) if is_infinite or is_underflow or is_rounded else value

    def _make_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            names = set()
            for name, _ in pairs:
                if name in names:
                    value[name] = self._mark(_REPEATED)
                names.add(name)
        return value


def decode_json(
    data: bytes, descriptor: Descriptor, path: str = "", document: str = BODY
) -> object:
    """Return the value of a JSON document.

    Args:
        data: the document.
        descriptor: the message that the document is the JSON form of.
        path: the place of the message in the request; empty for the request itself.
        document: the name of the document in errors.

    Raises:
        InvalidRequest: it is no JSON in UTF-8, has too many values, has a number that a double
            cannot hold or half of a surrogate pair, or an object has a name twice.
    """
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS or data.count(b",") > MAX_COMMAS:
        description = f"must have at most {MAX_BRACKETS} brackets and {MAX_COMMAS} commas"
        raise errors.invalid_field(document, description)
    decoder = _Decoder()
    try:
        value = decoder.decode(data)
        if decoder.has_invalid or _SURROGATE_ESCAPE.search(data):
            violations = _list_violations(value, descriptor, path, document)
            errors.raise_if_invalid(islice(violations, MAX_VIOLATIONS))
    except json.JSONDecodeError as exc:
        # The position says what is wrong without the text.
        description = f"must be JSON: {exc.msg} at character {exc.pos}"
    except UnicodeDecodeError:
        description = "must be JSON in UTF-8"
    except RecursionError:
        description = "must be JSON without deep nesting"
    else:
        return value
    raise errors.invalid_field(document, description)


def _list_violations(
    value: object, descriptor: Descriptor | None, path: str, document: str
) -> Iterator[Violation]:
    """Yield what is invalid in a value; its descriptor is None within attributes."""
    match value:
        case _Invalid(description):
            yield Violation(path or document, description)
        case str() if _SURROGATE.search(value):
            yield Violation(path or document, _HALF_PAIR)
        case dict():
            for name, child in value.items():
                if _SURROGATE.search(name):
                    yield Violation(path or document, _HALF_PAIR_IN_NAME)
                    continue
                field = find_field(descriptor, name) if descriptor is not None else None
                kind = field.message_type if field is not None and is_structured(field) else None
                place = f"{path}.{name if field is None else field.name}".removeprefix(".")
                yield from _list_violations(child, kind, place, document)
        case list():
            for position, child in enumerate(value):
                yield from _list_violations(child, descriptor, f"{path}[{position}]", document)
