"""Vectors that callers give to items, instead of the vectors of the items' texts.

The address of such a vector is a byte and the SHA-256 of the vector's own bytes. It is longer than
the hash of a text, so that the vector never becomes that of a text. An item has vectors of its own
in a generation exactly if its references there lead to such addresses; no other mark is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from service.domain import limits
from service.domain.vectors import Chunk, direction_violations, width_violations
from service.domain.violations import Violation

# No text starts with this byte in UTF-8.
_ADDRESS_PREFIX = b"\xff"

OWN_ADDRESS_BYTES = len(_ADDRESS_PREFIX) + sha256().digest_size

# A vector whose length differs from 1 by less is a unit vector that was rounded to float32. It
# keeps its bytes, so that vectors that are read and stored again stay the same.
_UNIT_TOLERANCE = 1e-6


def is_own_address(text_hash: bytes) -> bool:
    """Return whether an address is that of a vector that a caller gave."""
    return len(text_hash) == OWN_ADDRESS_BYTES


def own_vectors_violations(vectors: Sequence[bytes], path: str) -> Iterator[Violation]:
    """Validate vectors as float32 bytes; the width of the catalog is known only there."""
    if len(vectors) > limits.OWN_VECTORS:
        yield Violation(path, f"must have at most {limits.OWN_VECTORS} entries")
    for number, vector in enumerate(vectors[: limits.OWN_VECTORS]):
        yield from direction_violations(_to_values(vector), f"{path}[{number}].values")


def own_width_violations(
    vectors: Sequence[bytes], dimensions: int, path: str
) -> Iterator[Violation]:
    """Validate that vectors have the width of the catalog's space."""
    for number, vector in enumerate(vectors):
        yield from width_violations(len(_to_values(vector)), dimensions, f"{path}[{number}].values")


def make_own_chunks(vectors: Sequence[bytes]) -> list[Chunk]:
    """Return valid vectors, scaled to unit length, with their addresses."""
    units = [_scale(_to_values(vector)) for vector in vectors]
    return [Chunk(_ADDRESS_PREFIX + sha256(unit.tobytes()).digest(), unit) for unit in units]


def _to_values(vector: bytes) -> NDArray[np.float32]:
    return np.frombuffer(vector, "<f4")


def _scale(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # In float64, neither the largest nor the smallest float32 values lose their length.
    length = np.linalg.norm(values.astype(np.float64))
    if abs(length - 1.0) < _UNIT_TOLERANCE:
        return values
    unit: NDArray[np.float32] = (values / length).astype(np.float32)
    return unit
