"""Validates the attributes of items: their depth, size and numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence

from service.domain import limits
from service.domain.items import JsonValue
from service.domain.violations import Violation

# The most bytes of a character in JSON, which may be escaped.
_MAX_CHARACTER_BYTES = 6

# The most bytes of a number in JSON, with its comma.
_MAX_NUMBER_BYTES = 26

# The most bytes of the quotes, brackets, colon and comma around a value in JSON.
_MAX_DELIMITER_BYTES = 4


def attributes_violations(attributes: Mapping[str, JsonValue], path: str) -> Iterator[Violation]:
    """Validate the attributes of an item."""
    if not attributes:
        return
    size = _AttributesSize()
    depth = size.measure(attributes)
    if depth > limits.ATTRIBUTES_DEPTH:
        yield Violation(path, f"must be at most {limits.ATTRIBUTES_DEPTH} levels deep")
    elif size.keys > limits.ATTRIBUTES_KEYS:
        yield Violation(path, f"must have at most {limits.ATTRIBUTES_KEYS} keys over all levels")
    else:
        if not size.finite:
            yield from _number_violations(attributes, path)
        # The upper bound saves writing most attributes as JSON.
        if size.max_bytes > limits.ATTRIBUTES_BYTES and (
            len(json.dumps(attributes, ensure_ascii=False).encode()) > limits.ATTRIBUTES_BYTES
        ):
            yield Violation(path, f"must be at most {limits.ATTRIBUTES_BYTES} bytes as JSON")


class _AttributesSize:
    """The keys and the most bytes of attributes as JSON, and whether all numbers are finite."""

    __slots__ = ("finite", "keys", "max_bytes")

    def __init__(self) -> None:
        self.keys = 0
        self.max_bytes = 0
        self.finite = True

    def measure(self, value: JsonValue) -> int:
        """Add a value to the size, and return its number of levels."""
        # Concrete types first: checks of abstract types take ten times as long.
        if isinstance(value, str):
            self.max_bytes += _MAX_CHARACTER_BYTES * len(value) + _MAX_DELIMITER_BYTES
            return 0
        if isinstance(value, float | int | None):
            self.max_bytes += _MAX_NUMBER_BYTES
            self.finite = self.finite and (value is None or math.isfinite(value))
            return 0
        self.max_bytes += _MAX_DELIMITER_BYTES
        if isinstance(value, dict | Mapping):
            self.keys += len(value)
            for key in value:
                self.max_bytes += _MAX_CHARACTER_BYTES * len(key) + _MAX_DELIMITER_BYTES
            return 1 + max(map(self.measure, value.values()), default=0)
        return 1 + max(map(self.measure, value), default=0)


def _number_violations(value: JsonValue, path: str) -> Iterator[Violation]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Violation(path, "must be a finite number")
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _number_violations(child, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, child in enumerate(value):
            yield from _number_violations(child, f"{path}[{number}]")
