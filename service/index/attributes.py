"""Columns of the items' attributes: which keys pass a filter, without looking at the items.

Each attribute has a column of entries, (version, hash of the value, its number), that only grows. A
version stands for one state of one key: replacing or deleting an item makes its entries void by
forgetting their version, and once most are void the columns are made anew. Equal values are found
by a hash of 64 bits, so that two different ones pass for equal once in 10^19 comparisons.
"""

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

from service.domain.filters import (
    Condition,
    ContainsAny,
    Equals,
    Exists,
    Filter,
    OneOf,
    Range,
)
from service.domain.values import JsonValue
from service.index.base import Mask

VOID_VERSIONS = 1_024
"""So many void versions, and as many as there are live ones, are kept before columns are remade."""

MASKS = 16
"""The masks of so many filters are kept until the next write: making one takes 1 ms at 100,000
items."""

NO_NUMBER = math.nan
_OTHER = b"o"
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d))?",
    re.ASCII,
)


class Attributes:
    """The attributes of items by key. Not for several threads at once.

    Keys are small non-negative ints: masks by key are as long as the largest one demands.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._version_of = array("i")
        self._key_of = array("i")
        self._live = 0
        self._masks: dict[str, Mask] = {}

    def __len__(self) -> int:
        return self._live

    def upsert(self, keys: Sequence[int], attributes: Sequence[Mapping[str, JsonValue]]) -> None:
        """Replaces all attributes of each key; each key comes once."""
        self.delete(keys)
        self._masks.clear()
        columns = self._columns
        for key, values in zip(keys, attributes, strict=True):
            version = len(self._key_of)
            self._key_of.append(key)
            if key >= len(self._version_of):
                self._version_of.extend([-1] * (key + 1 - len(self._version_of)))
            self._version_of[key] = version
            for path, value in _flat(values):
                column = columns.get(path)
                if column is None:
                    column = columns[path] = _Column()
                column.append(version, value)
        self._live += len(keys)
        if len(self._key_of) > 2 * self._live + VOID_VERSIONS:
            self._remake()

    def delete(self, keys: Iterable[int]) -> None:
        """Forgets keys; those that are not there are no error."""
        self._masks.clear()
        for key in keys:
            if key < len(self._version_of) and self._version_of[key] >= 0:
                self._key_of[self._version_of[key]] = -1
                self._version_of[key] = -1
                self._live -= 1

    def matching(self, wanted: Filter) -> Mask:
        """Which keys pass: a mask by key, False also where there is no key; not to be changed."""
        # As text, for Python takes True and 1.0 for equal.
        name = repr(wanted)
        mask = self._masks.get(name)
        if mask is None:
            if len(self._masks) == MASKS:
                del self._masks[next(iter(self._masks))]
            mask = self._masks[name] = self._matching(wanted)
        return mask

    def _matching(self, wanted: Filter) -> Mask:
        passing = self._all()
        for condition in wanted.all:
            passing &= self._true(condition)
        if wanted.any:
            passing &= np.logical_or.reduce([self._true(each) for each in wanted.any])
        for condition in wanted.none:
            passing &= ~self._true(condition)
        return passing

    def numbers(self, attribute: str) -> NDArray[np.float64]:
        """By key, the attribute's number or its timestamp in seconds since 1970, NaN without."""
        numbers = np.full(len(self._version_of), NO_NUMBER)
        column = self._columns.get(attribute, _NOTHING)
        if column.whole.numbers:
            keys = self._keys(np.asarray(column.whole.versions))
            numbers[keys[keys >= 0]] = np.asarray(column.whole.numbers)[keys >= 0]
        return numbers

    def _true(self, condition: Condition) -> Mask:
        """For which keys a condition is true, by key."""
        test = condition.test
        if isinstance(test, Filter):
            return self._matching(test)
        column = self._columns.get(condition.attribute, _NOTHING)
        if isinstance(test, Exists):
            having = self._mask([np.asarray(column.whole.versions)])
            return having if test.present else self._all() & ~having
        return self._mask(column.passing(test))

    def _all(self) -> Mask:
        everything: Mask = np.asarray(self._version_of) >= 0
        return everything

    def _keys(self, versions: NDArray[np.int32]) -> NDArray[np.int32]:
        """The keys of versions, -1 for void ones."""
        keys: NDArray[np.int32] = np.asarray(self._key_of)[versions]
        return keys

    def _mask(self, versions: Iterable[NDArray[np.int32]]) -> Mask:
        mask = np.zeros(len(self._version_of), np.bool_)
        for some in versions:
            keys = self._keys(some)
            mask[keys[keys >= 0]] = True
        return mask

    def _remake(self) -> None:
        """Drops the void entries and numbers the live versions anew."""
        alive = np.asarray(self._key_of) >= 0
        renumbered = (np.cumsum(alive) - 1).astype(np.int32)
        for column in self._columns.values():
            column.keep(alive, renumbered)
        self._columns = {path: each for path, each in self._columns.items() if each.whole.versions}
        self._key_of = array("i", np.asarray(self._key_of)[alive].tobytes())
        for version, key in enumerate(self._key_of):
            self._version_of[key] = version


class _Column:
    """One attribute: an entry for each item's value, and one for each element of lists."""

    def __init__(self) -> None:
        self.whole = _Entries()
        self.elements = _Entries()

    def append(self, version: int, value: JsonValue) -> None:
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
        self.whole.keep(alive, renumbered)
        self.elements.keep(alive, renumbered)


class _Entries:
    """Parallel arrays; `numbers` stays empty until there is the first number."""

    def __init__(self) -> None:
        self.versions = array("i")
        self.hashes = array("Q")
        self.numbers = array("d")

    def append(self, version: int, value_hash: int, number: float) -> None:
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


_NOTHING = _Column()
"""What stands for an attribute that no item has."""


def _flat(attributes: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    """The values that are not null, objects and what is in them, by path."""
    for key, value in attributes.items():
        if value is None:
            continue
        yield key, value
        if isinstance(value, Mapping):
            for path, inner in _flat(value):
                yield f"{key}.{path}", inner


@lru_cache(65_536, typed=True)
def _scalar(value: str | bool | float) -> tuple[int, float]:
    """The hash and the number of a string, boolean or number."""
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
