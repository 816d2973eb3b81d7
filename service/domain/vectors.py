"""Vectors, which are addressed by the hash of their text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def hash_text(text: str) -> bytes:
    """Return the address of a text's vector: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A unit vector, float32 [dimensions], and the hash of its text."""

    text_hash: bytes
    vector: NDArray[np.float32]
