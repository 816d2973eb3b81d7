"""The vectors of recent texts in memory, and the texts that the model found too long."""

from __future__ import annotations

from collections import OrderedDict

from service.embedding.embedder import Vector

# Of the vectors of all models: 51,000 of 256 dimensions, about the distinct queries of a busy site
# in an hour.
MAX_CACHE_BYTES = 64 * 1024 * 1024

# What a vector takes beside its numbers: its key, the entry, and the object of NumPy (measured).
ENTRY_BYTES = 290

# Bounds the memory of the texts that were too long at about 1 MB.
MAX_TOO_LONG_TEXTS = 10_000

_Key = tuple[str, bytes]


class CacheMemory:
    """The memory that the caches of all models share; the least recently used vector goes first.

    Args:
        max_bytes: how much they take at most; one vector always fits.
    """

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._vectors: OrderedDict[_Key, Vector] = OrderedDict()

    def get(self, key: _Key) -> Vector | None:
        """Return a vector; None if it is not there."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: _Key, vector: Vector) -> None:
        """Store a vector, and drop the least recently used ones beyond the maximum."""
        previous = self._vectors.pop(key, None)
        if previous is not None:
            self._bytes -= previous.nbytes + ENTRY_BYTES
        self._vectors[key] = vector
        self._bytes += vector.nbytes + ENTRY_BYTES
        while self._bytes > self._max_bytes and len(self._vectors) > 1:
            _, dropped = self._vectors.popitem(last=False)
            self._bytes -= dropped.nbytes + ENTRY_BYTES


class VectorCache:
    """The vectors of one model by the hash of their text.

    Args:
        memory: holds the vectors of all models.
        space: the fingerprint of the model's space.
    """

    def __init__(self, memory: CacheMemory, space: str) -> None:
        self._memory = memory
        self._space = space
        self._too_long: OrderedDict[bytes, None] = OrderedDict()

    def get(self, text_hash: bytes) -> Vector | None:
        """Return the vector of a text, float32 [dimensions]; None on a cache miss."""
        return self._memory.get((self._space, text_hash))

    def put(self, text_hash: bytes, vector: Vector) -> None:
        """Store a vector; those that were not used for longest may go."""
        self._memory.put((self._space, text_hash), vector)

    def is_too_long(self, text_hash: bytes) -> bool:
        """Return whether the model has found a text too long; old answers are forgotten."""
        return text_hash in self._too_long

    def mark_too_long(self, text_hash: bytes) -> None:
        """Remember that the model finds a text too long."""
        self._too_long[text_hash] = None
        if len(self._too_long) > MAX_TOO_LONG_TEXTS:
            self._too_long.popitem(last=False)
