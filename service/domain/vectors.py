"""Vectors, addressed by the hash of their text (SHA-256 of its UTF-8, 32 bytes).

Vectors that callers give have addresses of their own: see own_vectors.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from service.domain.violations import Violation

Keys = NDArray[np.int64]  # small non-negative integers, each of which stands for an item
Mask = NDArray[np.bool_]  # by key: whether it passes
Vectors = NDArray[np.float32]  # [vectors, dimensions]
Matrix = NDArray[np.floating[Any]]  # the same as float32 or float16


@dataclass(frozen=True, slots=True)
class Chunk:
    """A unit vector, float32 [dimensions], and the hash of its text, or its own address."""

    text_hash: bytes
    vector: NDArray[np.float32]


def direction_violations(values: ArrayLike, path: str) -> Iterator[Violation]:
    """Validate that the values of a vector of any width, even none, are finite and not all 0."""
    numbers = np.asarray(values)
    if not np.isfinite(numbers).all():
        yield Violation(path, "must be finite numbers")
    elif len(numbers) and not numbers.any():
        yield Violation(path, "must have a value that is not 0")


def width_violations(width: int, dimensions: int, path: str) -> Iterator[Violation]:
    """Validate that a vector has the dimensions of the catalog's space."""
    if width != dimensions:
        yield Violation(path, f"must have {dimensions} values, as the vectors of the catalog do")
