"""Vectors, addressed by the hash of their text (SHA-256 of its UTF-8, 32 bytes).

Vectors that callers give have addresses of their own: see own_vectors.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]  # small non-negative integers, each of which stands for an item
Mask = NDArray[np.bool_]  # by key: whether it passes
Vectors = NDArray[np.float32]  # [vectors, dimensions]
Matrix = NDArray[np.floating[Any]]  # the same as float32 or float16


@dataclass(frozen=True, slots=True)
class Chunk:
    """A unit vector, float32 [dimensions], and the hash of its text, or its own address."""

    text_hash: bytes
    vector: NDArray[np.float32]
