"""Columns of attributes: values as hashes and numbers, and which of them pass a test."""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from service.domain.items import JsonValue
from service.domain.vectors import Mask

# Values whose hashes are cached: up to about 20 MB.
MAX_CACHED_HASHES = 65_536

# Longer strings are not cached.
MAX_CACHED_CHARACTERS = 64

# The number of a value that is neither a number nor a timestamp.
NO_NUMBER = math.nan

# Returns which numbers pass: bool [numbers]. NaN never does.
NumberTest = Callable[[NDArray[np.float64]], Mask]

# What is hashed for every object; no value of a test has this hash.
_OBJECT = b"o"
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d))?",
    re.ASCII,
)


class Column:
    """One attribute: an entry for each item's value, and one for each element of lists."""

    def __init__(self) -> None:
        self.whole = Entries()
        self.elements = Entries()

    def append(self, version: int, value: JsonValue) -> None:
        """Add the value of a version."""
        self.whole.append(version, *convert_value(value))
        for element in convert_elements(value):
            self.elements.append(version, *element)

    def find_equal(self, values: Sequence[JsonValue]) -> list[NDArray[np.int32]]:
        """Return the versions whose value is one of these."""
        return [self.whole.find_equal(map(hash_value, values))]

    def find_containing(self, values: Sequence[JsonValue]) -> list[NDArray[np.int32]]:
        """Return the versions whose value is one of these, or a list with one of them."""
        hashes = [hash_value(value) for value in values]
        return [self.whole.find_equal(hashes), self.elements.find_equal(hashes)]

    def find_within(self, is_inside: NumberTest) -> list[NDArray[np.int32]]:
        """Return the versions with a number that passes a test, or a list with such a number."""
        return [self.whole.find_within(is_inside), self.elements.find_within(is_inside)]

    def compact(self, live: Mask, new_versions: NDArray[np.int32]) -> None:
        """Drop the entries of versions that are not live and renumber the others."""
        self.whole.compact(live, new_versions)
        self.elements.compact(live, new_versions)


class Entries:
    """Parallel arrays of values; `numbers` stays empty until the first number."""

    def __init__(self) -> None:
        self.versions = array("i")
        self.hashes = array("Q")
        self.numbers = array("d")

    def append(self, version: int, value_hash: int, number: float) -> None:
        """Add a value; its number is NaN if it has none."""
        if self.numbers or not math.isnan(number):
            missing = len(self.versions) - len(self.numbers)
            if missing:
                self.numbers.extend([NO_NUMBER] * missing)
            self.numbers.append(number)
        self.versions.append(version)
        self.hashes.append(value_hash)

    def find_equal(self, hashes: Iterable[int]) -> NDArray[np.int32]:
        """Return the versions of entries with one of these hashes."""
        targets = np.fromiter(hashes, np.uint64)
        stored = np.asarray(self.hashes)
        # numpy.isin sorts, which takes ten times as long as one comparison.
        is_equal = stored == targets[0] if len(targets) == 1 else np.isin(stored, targets)
        versions: NDArray[np.int32] = np.asarray(self.versions)[is_equal]
        return versions

    def find_within(self, is_inside: NumberTest) -> NDArray[np.int32]:
        """Return the versions of entries whose number passes a test."""
        if not self.numbers:
            return np.empty(0, np.int32)
        numbers = np.asarray(self.numbers)
        versions: NDArray[np.int32] = np.asarray(self.versions)[
            ~np.isnan(numbers) & is_inside(numbers)
        ]
        return versions

    def slice_hashes(self, versions: NDArray[np.int32]) -> list[list[int]]:
        """Return the hashes of the entries of each version."""
        # Versions only rise, so that the entries are in their order.
        stored, hashes = np.asarray(self.versions), np.asarray(self.hashes)
        starts = np.searchsorted(stored, versions, "left").tolist()
        ends = np.searchsorted(stored, versions, "right").tolist()
        return [hashes[start:end].tolist() for start, end in zip(starts, ends, strict=True)]

    def compact(self, live: Mask, new_versions: NDArray[np.int32]) -> None:
        """Drop the entries of versions that are not live and renumber the others."""
        versions = np.asarray(self.versions)
        is_live = live[versions]
        self.hashes = array("Q", np.asarray(self.hashes)[is_live].tobytes())
        if self.numbers:
            self.numbers = array("d", np.asarray(self.numbers)[is_live].tobytes())
        self.versions = array("i", new_versions[versions[is_live]].tobytes())


# The column of an attribute that no item has.
EMPTY_COLUMN = Column()


def flatten(attributes: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    """Yield path and value of all that is not null: of objects and of what they contain."""
    for key, value in attributes.items():
        if value is None:
            continue
        yield key, value
        if isinstance(value, Mapping):
            for path, inner in flatten(value):
                yield f"{key}.{path}", inner


def convert_value(value: JsonValue) -> tuple[int, float]:
    """Return the hash and the number of a whole value; NaN if it has no number."""
    if isinstance(value, str | bool | float | int):
        return _convert_scalar(value)
    return hash_value(value), NO_NUMBER


def convert_elements(value: JsonValue) -> list[tuple[int, float]]:
    """Return the hash and the number of each string, number and boolean in a list."""
    if isinstance(value, str | bool | float | int) or not isinstance(value, Sequence):
        return []
    return [
        _convert_scalar(element)
        for element in value
        if isinstance(element, str | bool | float | int)
    ]


def _convert_scalar(value: str | bool | float) -> tuple[int, float]:
    """Return the hash and the number of a string, boolean or number."""
    if isinstance(value, str) and len(value) > MAX_CACHED_CHARACTERS:
        return _compute_scalar(value)
    return _get_cached_scalar(value)


@lru_cache(MAX_CACHED_HASHES, typed=True)
def _get_cached_scalar(value: str | bool | float) -> tuple[int, float]:
    return _compute_scalar(value)


def _compute_scalar(value: str | bool | float) -> tuple[int, float]:
    if isinstance(value, str):
        return hash_bytes(b"s" + value.encode()), _parse_seconds(value)
    if isinstance(value, bool):
        return hash_bytes(b"t" if value else b"f"), NO_NUMBER
    number = float(value) + 0.0  # turns a negative zero into the positive one
    return hash_bytes(b"n" + struct.pack("<d", number)), number


def hash_value(value: JsonValue) -> int:
    """Return the hash of a whole value; all objects share one, which no test asks for."""
    if isinstance(value, str | bool | float | int):
        return _convert_scalar(value)[0]
    if isinstance(value, Sequence):
        hashes = (0 if element is None else hash_value(element) for element in value)
        return hash_bytes(b"l" + b"".join(element_hash.to_bytes(8) for element_hash in hashes))
    return hash_bytes(_OBJECT)


def hash_bytes(value: bytes) -> int:
    """Return an unsigned BLAKE2b hash of 64 bits."""
    return int.from_bytes(blake2b(value, digest_size=8).digest())


def _parse_seconds(value: str) -> float:
    """Return the seconds from 1970 to an RFC 3339 timestamp or date; NaN for other strings."""
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        return NO_NUMBER
    day, time, fraction, zone = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{time or '00:00:00'}{(zone or 'Z').upper()}")
    except ValueError:
        return NO_NUMBER
    return (whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() + float(fraction or 0)


# What objects and empty lists are stored as: they have no value to be equal by.
VALUELESS_HASHES = frozenset((hash_value({}), hash_value(())))
