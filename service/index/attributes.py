"""Columns of the items' attributes: which keys pass a filter, without looking at the items.

Each attribute has a column of entries, (version, hash of the value, its number), that only grows. A
version stands for one state of one key: replacing or deleting an item makes its entries void by
forgetting their version, and once most are void the columns are made anew. Equal values are found
by a hash of 64 bits, so that two different ones pass for equal once in 10^19 comparisons.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.filters import Condition, Exists, Filter
from service.domain.items import JsonValue
from service.index.columns import NO_NUMBER, NOTHING, Column, flat
from service.index.vector_index import Mask

VOID_VERSIONS = 1_024
"""So many void versions, and as many as there are live ones, are kept before columns are remade."""

MASKS = 16
"""The masks of so many filters are kept until the next write: making one takes 1 ms at 100,000
items."""

_FIELDS = ("versions", "hashes", "numbers")


class Attributes:
    """The attributes of items by key. Not for several threads at once.

    Keys are small non-negative ints: masks by key are as long as the largest one demands.
    """

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}
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
            for path, value in flat(values):
                column = columns.get(path)
                if column is None:
                    column = columns[path] = Column()
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

    def knows(self, wanted: Filter | None) -> bool:
        """Whether the mask of a filter is at hand."""
        return wanted is None or repr(wanted) in self._masks

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
        column = self._columns.get(attribute, NOTHING)
        if column.whole.numbers:
            keys = self._keys(np.asarray(column.whole.versions))
            numbers[keys[keys >= 0]] = np.asarray(column.whole.numbers)[keys >= 0]
        return numbers

    def capture(self) -> dict[str, NDArray[Any]]:
        """All columns as arrays by name, for a snapshot; nothing in it changes any more."""
        names = json.dumps(list(self._columns)).encode()
        arrays: dict[str, NDArray[Any]] = {
            "names": np.frombuffer(names, np.uint8),
            "key_of": np.array(self._key_of),
            "version_of": np.array(self._version_of),
        }
        for number, column in enumerate(self._columns.values()):
            for kind, entries in (("whole", column.whole), ("elements", column.elements)):
                for field in _FIELDS:
                    arrays[f"{number}/{kind}/{field}"] = np.array(getattr(entries, field))
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fills empty columns from what `capture` gave.

        Raises:
            KeyError, ValueError: it is not what was captured.
        """
        self._key_of = array("i", arrays["key_of"].tobytes())
        self._version_of = array("i", arrays["version_of"].tobytes())
        self._live = int(np.count_nonzero(arrays["version_of"] >= 0))
        for number, name in enumerate(json.loads(arrays["names"].tobytes())):
            column = self._columns[name] = Column()
            for kind, entries in (("whole", column.whole), ("elements", column.elements)):
                for field in _FIELDS:
                    held = getattr(entries, field)
                    held.frombytes(arrays[f"{number}/{kind}/{field}"].tobytes())

    def _true(self, condition: Condition) -> Mask:
        """For which keys a condition is true, by key."""
        test = condition.test
        if isinstance(test, Filter):
            return self._matching(test)
        column = self._columns.get(condition.attribute, NOTHING)
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
