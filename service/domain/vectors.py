"""Vectors, and the hash that addresses them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def text_hash(text: str) -> bytes:
    """The address of a text's vector: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A vector (float32 [dimensions], unit length) under the hash of the text it stands for."""

    text_hash: bytes
    vector: NDArray[np.float32]
