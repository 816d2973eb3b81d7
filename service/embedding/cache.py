"""The most recently used vectors, in memory."""

from __future__ import annotations

from collections import OrderedDict

from service.embedding.embedder import Vector

# Holds 65,536 vectors of 256 dimensions, about the distinct queries of a busy site in an hour.
MAX_CACHE_BYTES = 64 * 1024 * 1024


class VectorCache:
    """Vectors by the hash of their text; the least recently used one is dropped first."""

    def __init__(self, dimensions: int) -> None:
        self._capacity = max(1, MAX_CACHE_BYTES // (4 * dimensions))
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()

    def get(self, text_hash: bytes) -> Vector | None:
        """Return the vector of a text, float32 [dimensions]; None on a cache miss."""
        vector = self._vectors.get(text_hash)
        if vector is not None:
            self._vectors.move_to_end(text_hash)
        return vector

    def put(self, text_hash: bytes, vector: Vector) -> None:
        """Store a vector, and drop the least recently used one if the cache is full."""
        self._vectors[text_hash] = vector
        self._vectors.move_to_end(text_hash)
        if len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
