"""Evaluates filters: which keys pass, from columns of attributes and without looking at the items.

Each attribute has a column of entries, (version, hash of the value, its number), that only grows. A
version is one state of one key: replacing or deleting an item forgets its version, which makes its
entries stale, and once most versions are stale the columns are compacted. Equal values are found by
a hash of 64 bits: two different values pass for equal once in 10^19 comparisons.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.filters import Condition, ContainsAny, Equals, Exists, Filter, OneOf, Range
from service.domain.items import JsonValue
from service.domain.vectors import Keys, Mask
from service.index.columns import EMPTY_COLUMN, NO_NUMBER, VALUELESS_HASHES, Column, flatten

# Stale versions that are tolerated, beside as many as there are live ones, before columns are
# compacted.
MAX_STALE_VERSIONS = 1_024

# Filters whose masks are cached until the next write: computing one takes 1 ms at 100,000 items.
MAX_CACHED_MASKS = 16

_FIELDS = ("versions", "hashes", "numbers")


class Attributes:
    """The attributes of items by key. Not thread-safe.

    Keys are small non-negative integers: masks by key are as long as the largest one requires.
    """

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}
        self._version_of = array("i")
        self._key_of = array("i")
        self._live = 0
        self._cached_masks: dict[str, Mask] = {}

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._live

    def upsert(self, keys: Sequence[int], attributes: Sequence[Mapping[str, JsonValue]]) -> None:
        """Replace all attributes of each key; a key occurs once."""
        self.delete(keys)
        self._cached_masks.clear()
        columns = self._columns
        for key, values in zip(keys, attributes, strict=True):
            version = len(self._key_of)
            self._key_of.append(key)
            if key >= len(self._version_of):
                self._version_of.extend([-1] * (key + 1 - len(self._version_of)))
            self._version_of[key] = version
            if not values:
                continue
            for path, value in flatten(values):
                column = columns.get(path)
                if column is None:
                    column = columns[path] = Column()
                column.append(version, value)
        self._live += len(keys)
        if len(self._key_of) > 2 * self._live + MAX_STALE_VERSIONS:
            self._compact()

    def delete(self, keys: Iterable[int]) -> None:
        """Remove keys; a key that has no attributes is no error."""
        self._cached_masks.clear()
        for key in keys:
            if key < len(self._version_of) and self._version_of[key] >= 0:
                self._key_of[self._version_of[key]] = -1
                self._version_of[key] = -1
                self._live -= 1

    def compute_mask(self, filter_: Filter) -> Mask:
        """Return a mask by key of those that pass; it is cached, so do not change it."""
        mask = self._cached_masks.get(filter_.text)
        if mask is None:
            if len(self._cached_masks) == MAX_CACHED_MASKS:
                del self._cached_masks[next(iter(self._cached_masks))]
            mask = self._cached_masks[filter_.text] = self._evaluate(filter_)
        return mask

    def has_cached_mask(self, filter_: Filter) -> bool:
        """Return whether `compute_mask` has the mask of a filter without computing it."""
        return filter_.text in self._cached_masks

    def _evaluate(self, filter_: Filter) -> Mask:
        passing = self._get_live_keys()
        for condition in filter_.all:
            passing &= self._evaluate_condition(condition)
        if filter_.any:
            masks = [self._evaluate_condition(condition) for condition in filter_.any]
            passing &= np.logical_or.reduce(masks)
        for condition in filter_.none:
            passing &= ~self._evaluate_condition(condition)
        return passing

    def get_numbers(self, attribute: str) -> NDArray[np.float64]:
        """Return an attribute's numbers by key, timestamps in seconds since 1970, else NaN."""
        numbers = np.full(len(self._version_of), NO_NUMBER)
        column = self._columns.get(attribute, EMPTY_COLUMN)
        if column.whole.numbers:
            keys = self._get_keys(np.asarray(column.whole.versions))
            numbers[keys[keys >= 0]] = np.asarray(column.whole.numbers)[keys >= 0]
        return numbers

    def get_all_numbers(self, attribute: str) -> NDArray[np.float64]:
        """Return the numbers of an attribute of all items that have one, in no particular order."""
        numbers = self.get_numbers(attribute)
        return numbers[~np.isnan(numbers)]

    def rank_numbers(self, attribute: str) -> NDArray[np.float64]:
        """Return by key the share of all numbers of an attribute that are smaller than a key's.

        Equal ones count half. A key without a number has 0.
        """
        numbers = self.get_numbers(attribute)
        shares = np.zeros(len(numbers))
        is_number = ~np.isnan(numbers)
        if is_number.any():
            _, places, counts = np.unique(
                numbers[is_number], return_inverse=True, return_counts=True
            )
            shares[is_number] = ((np.cumsum(counts) - counts / 2) / counts.sum())[places]
        return shares

    def get_values(self, attribute: str, keys: Keys) -> list[frozenset[int]]:
        """Return the hashes of each key's values: of a list, those of its scalars.

        An object, an empty list and a missing value have none. A list with neither strings, numbers
        nor booleans is one value.
        """
        column = self._columns.get(attribute, EMPTY_COLUMN)
        versions = np.asarray(self._version_of)[keys]
        whole = column.whole.slice_hashes(versions)
        elements = column.elements.slice_hashes(versions)
        return [
            frozenset(inner or outer) - VALUELESS_HASHES
            for outer, inner in zip(whole, elements, strict=True)
        ]

    def compute_value_mask(self, attribute: str, hashes: Collection[int]) -> Mask:
        """Return a mask by key of those with one of these values, as `get_values` returns them."""
        column = self._columns.get(attribute, EMPTY_COLUMN)
        return self._to_mask([column.whole.find_equal(hashes), column.elements.find_equal(hashes)])

    def capture(self) -> dict[str, NDArray[Any]]:
        """Return all columns as arrays by name, for a snapshot; later writes do not change them."""
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
        """Fill empty columns from captured arrays.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not belong together.
        """
        self._key_of = array("i", arrays["key_of"].tobytes())
        self._version_of = array("i", arrays["version_of"].tobytes())
        self._live = int(np.count_nonzero(arrays["version_of"] >= 0))
        for number, name in enumerate(json.loads(arrays["names"].tobytes())):
            column = self._columns[name] = Column()
            for kind, entries in (("whole", column.whole), ("elements", column.elements)):
                for field in _FIELDS:
                    values = getattr(entries, field)
                    values.frombytes(arrays[f"{number}/{kind}/{field}"].tobytes())

    def _evaluate_condition(self, condition: Condition) -> Mask:
        test = condition.test
        if isinstance(test, Filter):
            return self._evaluate(test)
        column = self._columns.get(condition.attribute, EMPTY_COLUMN)
        if isinstance(test, Exists):
            having = self._to_mask([np.asarray(column.whole.versions)])
            return having if test.present else self._get_live_keys() & ~having
        return self._to_mask(_find_versions(column, test))

    def _get_live_keys(self) -> Mask:
        """Return a new mask of all keys that have attributes, even empty ones."""
        live: Mask = np.asarray(self._version_of) >= 0
        return live

    def _get_keys(self, versions: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the keys of versions, -1 for stale ones."""
        keys: NDArray[np.int32] = np.asarray(self._key_of)[versions]
        return keys

    def _to_mask(self, versions: Iterable[NDArray[np.int32]]) -> Mask:
        mask = np.zeros(len(self._version_of), np.bool_)
        for part in versions:
            keys = self._get_keys(part)
            mask[keys[keys >= 0]] = True
        return mask

    def _compact(self) -> None:
        """Drop stale entries and renumber the live versions."""
        live = np.asarray(self._key_of) >= 0
        new_versions = (np.cumsum(live) - 1).astype(np.int32)
        for column in self._columns.values():
            column.compact(live, new_versions)
        self._columns = {
            path: column for path, column in self._columns.items() if column.whole.versions
        }
        self._key_of = array("i", np.asarray(self._key_of)[live].tobytes())
        for version, key in enumerate(self._key_of):
            self._version_of[key] = version


def _find_versions(column: Column, test: object) -> list[NDArray[np.int32]]:
    """Return the versions with a value for which a test is true, in one array or more."""
    match test:
        case Equals(value):
            return column.find_equal([value])
        case OneOf(values):
            return column.find_equal(values)
        case ContainsAny(values):
            return column.find_containing(values)
        case Range():
            return column.find_within(lambda numbers: _is_within(numbers, test))
    raise AssertionError("a condition without a test breaks the contract")


def _is_within(numbers: NDArray[np.float64], range_: Range) -> Mask:
    is_within: Mask = np.ones(len(numbers), np.bool_)
    if range_.gt is not None:
        is_within &= numbers > range_.gt
    if range_.gte is not None:
        is_within &= numbers >= range_.gte
    if range_.lt is not None:
        is_within &= numbers < range_.lt
    if range_.lte is not None:
        is_within &= numbers <= range_.lte
    return is_within
