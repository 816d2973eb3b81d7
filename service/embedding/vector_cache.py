"""The vectors of recent texts in memory, and the texts that the model found too long."""

from __future__ import annotations

from collections import OrderedDict

from service.embedding.embedder import Vector

# Holds 65,536 vectors of 256 dimensions, about the distinct queries of a busy site in an hour.
MAX_CACHE_BYTES = 64 * 1024 * 1024

# Bounds the memory of the texts that were too long at about 1 MB.
MAX_TOO_LONG_TEXTS = 10_000


class VectorCache:
    """Vectors by the hash of their text; the least recently used one is dropped first."""

    def __init__(self, dimensions: int) -> None:
        self._capacity = max(1, MAX_CACHE_BYTES // (4 * dimensions))
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()
        self._too_long: OrderedDict[bytes, None] = OrderedDict()

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

    def is_too_long(self, text_hash: bytes) -> bool:
        """Return whether the model has found a text too long; old answers are forgotten."""
        return text_hash in self._too_long

    def mark_too_long(self, text_hash: bytes) -> None:
        """Remember that the model finds a text too long."""
        self._too_long[text_hash] = None
        if len(self._too_long) > MAX_TOO_LONG_TEXTS:
            self._too_long.popitem(last=False)
