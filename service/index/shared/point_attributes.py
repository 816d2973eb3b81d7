"""Encodes attributes for the payload of a point, so that native conditions can test them.

An engine's own conditions have other semantics: they test no fraction for equality, take a dot for
a step into an object only, and find elements where a whole list is meant. So a point has hashes of
its paths with the hashes of their values that columns have, and the blocks of its numbers by path,
with hashes of their groups and ranks: see `number_ranks`. A path can occur twice, as the key `a.b`
and as `b` in the object `a`: the point then has the hashes and numbers of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.items import JsonValue
from service.index.columns import convert_elements, convert_value, flatten, hash_bytes
from service.index.shared.number_ranks import get_block, get_group, get_rank

# What begins the hash of each kind, so that hashes of different kinds differ.
_WHOLE = b"w"
_ELEMENT = b"e"
_PATH = b"p"
_GROUP = b"g"
_RANK = b"r"


@dataclass(frozen=True, slots=True)
class PointAttributes:
    """What the payload of a point has of its attributes.

    `hashes` are signed integers of 64 bits, sorted and distinct. `numbers` are the blocks of those
    at a path, by the path's name; there is none for a path without numbers.
    """

    hashes: list[int]
    numbers: dict[str, list[int]]


def encode_attributes(attributes: Mapping[str, JsonValue]) -> PointAttributes:
    """Return what filters need to know of an item's attributes."""
    hashes: set[int] = set()
    numbers: dict[str, list[int]] = {}
    for path, value in flatten(attributes):
        whole, elements = convert_value(value), convert_elements(value)
        hashes.add(hash_path(path))
        hashes.add(hash_whole_value(path, whole[0]))
        hashes.update(hash_element(path, element_hash) for element_hash, _ in elements)
        for _, number in (whole, *elements):
            if not math.isnan(number):
                rank = get_rank(number)
                hashes.add(hash_group(path, get_group(rank)))
                hashes.add(hash_rank(path, rank))
                numbers.setdefault(name_numbers(path), []).append(get_block(rank))
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


def hash_group(path: str, group: int) -> int:
    """Return the hash of a point that has, at a path, a number whose rank is in this group."""
    return _hash_signed(_GROUP + group.to_bytes(8, signed=True) + path.encode())


def hash_rank(path: str, rank: int) -> int:
    """Return the hash of a point that has, at a path, the number of this rank."""
    return _hash_signed(_RANK + rank.to_bytes(8, signed=True) + path.encode())


def name_numbers(path: str) -> str:
    """Return the name of the numbers at a path: paths can have characters that names cannot."""
    return f"{hash_bytes(path.encode()):016x}"


def _hash_signed(value: bytes) -> int:
    """Return a hash as a signed integer of 64 bits: engines have no unsigned ones."""
    return int.from_bytes(hash_bytes(value).to_bytes(8), signed=True)
