"""The columns of attributes: values as hashes and numbers, and which of them pass a test."""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from service.domain.filters import ContainsAny, Equals, OneOf, Range
from service.domain.items import JsonValue
from service.index.vector_index import Mask

REMEMBERED_VALUES = 65_536
REMEMBERED_CHARACTERS = 64
"""The hashes of so many values, none longer than this, are kept: up to about 20 MB."""

NO_NUMBER = math.nan
_OTHER = b"o"
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
        """Takes in the value that a version has."""
        if isinstance(value, str | bool | float | int):
            self.whole.append(version, *_scalar(value))
            return
        self.whole.append(version, _hash(value), NO_NUMBER)
        if isinstance(value, Sequence):
            for each in value:
                if isinstance(each, str | bool | float | int):
                    self.elements.append(version, *_scalar(each))

    def passing(self, test: object) -> list[NDArray[np.int32]]:
        """The versions with a value for which the test is true."""
        match test:
            case Equals(value):
                return [self.whole.equal([_hash(value)])]
            case OneOf(values):
                return [self.whole.equal(map(_hash, values))]
            case ContainsAny(values):
                hashes = [_hash(value) for value in values]
                return [self.whole.equal(hashes), self.elements.equal(hashes)]
            case Range():
                return [self.whole.within(test), self.elements.within(test)]
        raise AssertionError("a condition without a test breaks the contract")

    def keep(self, alive: Mask, renumbered: NDArray[np.int32]) -> None:
        """Drops the entries of versions that are not alive and renumbers the others."""
        self.whole.keep(alive, renumbered)
        self.elements.keep(alive, renumbered)


class Entries:
    """Parallel arrays; `numbers` stays empty until there is the first number."""

    def __init__(self) -> None:
        self.versions = array("i")
        self.hashes = array("Q")
        self.numbers = array("d")

    def append(self, version: int, value_hash: int, number: float) -> None:
        """Takes in one value; the number is NaN where it is none."""
        if self.numbers or not math.isnan(number):
            missing = len(self.versions) - len(self.numbers)
            if missing:
                self.numbers.extend([NO_NUMBER] * missing)
            self.numbers.append(number)
        self.versions.append(version)
        self.hashes.append(value_hash)

    def equal(self, hashes: Iterable[int]) -> NDArray[np.int32]:
        """The versions of entries with one of these hashes."""
        wanted = np.fromiter(hashes, np.uint64)
        mine = np.asarray(self.hashes)
        # numpy.isin sorts, which takes ten times as long as one comparison.
        same = mine == wanted[0] if len(wanted) == 1 else np.isin(mine, wanted)
        found: NDArray[np.int32] = np.asarray(self.versions)[same]
        return found

    def within(self, wanted: Range) -> NDArray[np.int32]:
        """The versions of entries whose number lies in the range."""
        if not self.numbers:
            return np.empty(0, np.int32)
        numbers = np.asarray(self.numbers)
        inside = ~np.isnan(numbers)
        if wanted.gt is not None:
            inside &= numbers > wanted.gt
        if wanted.gte is not None:
            inside &= numbers >= wanted.gte
        if wanted.lt is not None:
            inside &= numbers < wanted.lt
        if wanted.lte is not None:
            inside &= numbers <= wanted.lte
        found: NDArray[np.int32] = np.asarray(self.versions)[inside]
        return found

    def keep(self, alive: Mask, renumbered: NDArray[np.int32]) -> None:
        """Drops the entries of versions that are not alive and renumbers the others."""
        versions = np.asarray(self.versions)
        kept = alive[versions]
        self.hashes = array("Q", np.asarray(self.hashes)[kept].tobytes())
        if self.numbers:
            self.numbers = array("d", np.asarray(self.numbers)[kept].tobytes())
        self.versions = array("i", renumbered[versions[kept]].tobytes())


NOTHING = Column()
"""What stands for an attribute that no item has."""


def flat(attributes: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    """The values that are not null, objects and what is in them, by path."""
    for key, value in attributes.items():
        if value is None:
            continue
        yield key, value
        if isinstance(value, Mapping):
            for path, inner in flat(value):
                yield f"{key}.{path}", inner


def _scalar(value: str | bool | float) -> tuple[int, float]:
    """The hash and the number of a string, boolean or number."""
    if isinstance(value, str) and len(value) > REMEMBERED_CHARACTERS:
        return _described(value)
    return _remembered(value)


@lru_cache(REMEMBERED_VALUES, typed=True)
def _remembered(value: str | bool | float) -> tuple[int, float]:
    return _described(value)


def _described(value: str | bool | float) -> tuple[int, float]:
    if isinstance(value, str):
        return _digest(b"s" + value.encode()), _seconds(value)
    if isinstance(value, bool):
        return _digest(b"t" if value else b"f"), NO_NUMBER
    number = float(value) + 0.0  # of the two zeros only the positive one
    return _digest(b"n" + struct.pack("<d", number)), number


def _hash(value: JsonValue) -> int:
    """The hash of a whole value; all objects have one, which equals nothing that can be asked."""
    if isinstance(value, str | bool | float | int):
        return _scalar(value)[0]
    if isinstance(value, Sequence):
        hashes = (0 if each is None else _hash(each) for each in value)
        return _digest(b"l" + b"".join(each.to_bytes(8) for each in hashes))
    return _digest(_OTHER)


def _digest(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest())


def _seconds(value: str) -> float:
    """An RFC 3339 timestamp or date as seconds since 1970-01-01 UTC; NaN for other strings."""
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        return NO_NUMBER
    day, time, fraction, zone = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{time or '00:00:00'}{(zone or 'Z').upper()}")
    except ValueError:
        return NO_NUMBER
    return (whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() + float(fraction or 0)
