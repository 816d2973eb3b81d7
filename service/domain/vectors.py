"""Vectors, which are addressed by the hash of their text: SHA-256 of its UTF-8, 32 bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Chunk:
    """A unit vector, float32 [dimensions], and the hash of its text."""

    text_hash: bytes
    vector: NDArray[np.float32]
