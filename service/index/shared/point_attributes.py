"""Encodes attributes for the payload of a point, so that native conditions can test them.

An engine's own conditions have other semantics: they take 1 and "1.0" for different types, split
paths at dots and look into lists of objects. So a point has the hashes of its paths and values, as
columns have them, and its numbers by path. A path can occur twice, as the key `a.b` and as `b` in
the object `a`: the point then has the hashes and numbers of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.items import JsonValue
from service.index.columns import convert_elements, convert_value, flatten, hash_bytes

# What begins the hash of each kind, so that hashes of different kinds differ.
_WHOLE = b"w"
_ELEMENT = b"e"
_PATH = b"p"


@dataclass(frozen=True, slots=True)
class PointAttributes:
    """What the payload of a point has of its attributes.

    `hashes` are signed integers of 64 bits, sorted and distinct. `numbers` are those at a path, by
    the path's name; there is none for a path without numbers.
    """

    hashes: list[int]
    numbers: dict[str, list[float]]


def encode_attributes(attributes: Mapping[str, JsonValue]) -> PointAttributes:
    """Return what filters need to know of an item's attributes."""
    hashes: set[int] = set()
    numbers: dict[str, list[float]] = {}
    for path, value in flatten(attributes):
        whole, elements = convert_value(value), convert_elements(value)
        hashes.add(hash_path(path))
        hashes.add(hash_whole_value(path, whole[0]))
        hashes.update(hash_element(path, element_hash) for element_hash, _ in elements)
        path_numbers = [number for _, number in (whole, *elements) if not math.isnan(number)]
        if path_numbers:
            numbers.setdefault(name_numbers(path), []).extend(path_numbers)
    return PointAttributes(sorted(hashes), numbers)


def hash_path(path: str) -> int:
    """Return the hash of a point that has a value at a path."""
    return _hash_signed(_PATH + path.encode())


def hash_whole_value(path: str, value_hash: int) -> int:
    """Return the hash of a point whose whole value at a path has this hash."""
    return _hash_signed(_WHOLE + value_hash.to_bytes(8) + path.encode())


def hash_element(path: str, value_hash: int) -> int:
    """Return the hash of a point that has, at a path, a list with an element of this hash."""
    return _hash_signed(_ELEMENT + value_hash.to_bytes(8) + path.encode())


def name_numbers(path: str) -> str:
    """Return the name of the numbers at a path: paths can have characters that names cannot."""
    return f"{hash_bytes(path.encode()):016x}"


def _hash_signed(value: bytes) -> int:
    """Return a hash as a signed integer of 64 bits: engines have no unsigned ones."""
    return int.from_bytes(hash_bytes(value).to_bytes(8), signed=True)
