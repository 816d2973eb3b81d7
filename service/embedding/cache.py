"""The vectors used last, in memory."""

from __future__ import annotations

from collections import OrderedDict

from service.embedding.embedder import Vector

CACHED_BYTES = 64 * 1024 * 1024
"""65,536 vectors of 256 dimensions, about as many different queries as a busy site sees an hour."""


class VectorCache:
    """Vectors by text hash, least recently used first to go."""

    def __init__(self, dimensions: int) -> None:
        self._capacity = max(1, CACHED_BYTES // (4 * dimensions))
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()

    def get(self, key: bytes) -> Vector | None:
        """The vector of a text, if it is still here."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: bytes, vector: Vector) -> None:
        """Keeps a vector, at the cost of the one that was not used for longest."""
        self._vectors[key] = vector
        self._vectors.move_to_end(key)
        if len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
