"""Vectors, the hash that addresses them, and the arrays that an index of them works with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]  # small non-negative integers, each of which stands for an item
Mask = NDArray[np.bool_]  # by key: whether it passes
Vectors = NDArray[np.float32]  # [vectors, dimensions]
Matrix = NDArray[np.floating[Any]]  # the same as float32 or float16


def text_hash(text: str) -> bytes:
    """The address of a text's vector: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A vector (float32 [dimensions], unit length) under the hash of the text it stands for."""

    text_hash: bytes
    vector: NDArray[np.float32]
