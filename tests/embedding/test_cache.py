import numpy as np
import pytest
from support.embedders import unit_vector

from service.embedding.vector_cache import ENTRY_BYTES, CacheMemory, VectorCache

VECTOR_BYTES = unit_vector("x").nbytes + ENTRY_BYTES


def make_cache(vectors: int) -> VectorCache:
    return VectorCache(CacheMemory(vectors * VECTOR_BYTES), "model")


def cached_keys(cache: VectorCache, *keys: bytes) -> list[bytes]:
    return [key for key in keys if cache.get(key) is not None]


def test_a_vector_is_found_by_its_key() -> None:
    """A vector is returned for its key, and for no other key."""
    cache = make_cache(2)
    cache.put(b"a", unit_vector("tea"))
    vector = cache.get(b"a")
    assert vector is not None
    np.testing.assert_array_equal(unit_vector("tea"), vector)
    assert None is cache.get(b"b")


def test_the_least_recently_used_is_dropped() -> None:
    """A full cache drops the least recently used vector."""
    cache = make_cache(3)
    for key in (b"a", b"b", b"c"):
        cache.put(key, unit_vector("x"))
    assert [b"a"] == cached_keys(cache, b"a")
    cache.put(b"b", unit_vector("x"))
    cache.put(b"d", unit_vector("x"))
    assert [b"a", b"b", b"d"] == cached_keys(cache, b"a", b"b", b"c", b"d")


def test_putting_again_takes_no_more_room() -> None:
    """A key that is put twice has the later vector, and no other vector is dropped."""
    cache = make_cache(2)
    cache.put(b"a", unit_vector("x"))
    cache.put(b"b", unit_vector("x"))
    cache.put(b"b", unit_vector("y"))
    assert [b"a", b"b"] == cached_keys(cache, b"a", b"b")
    vector = cache.get(b"b")
    assert vector is not None
    np.testing.assert_array_equal(unit_vector("y"), vector)


@pytest.mark.parametrize("max_bytes", [0, VECTOR_BYTES - 1])
def test_one_vector_always_fits(max_bytes: int) -> None:
    """If one vector exceeds the size of the cache, the latest one is cached."""
    cache = VectorCache(CacheMemory(max_bytes), "model")
    cache.put(b"a", unit_vector("x"))
    cache.put(b"b", unit_vector("x"))
    assert [b"b"] == cached_keys(cache, b"a", b"b")


def test_models_share_the_memory() -> None:
    """The caches of all models together take no more than one, and never mix up their vectors."""
    memory = CacheMemory(3 * VECTOR_BYTES)
    first, second = VectorCache(memory, "first"), VectorCache(memory, "second")
    for key in (b"a", b"b"):
        first.put(key, unit_vector("x"))
        second.put(key, unit_vector("y"))
    assert [b"b"] == cached_keys(first, b"a", b"b")
    assert [b"a", b"b"] == cached_keys(second, b"a", b"b")
    vector = first.get(b"b")
    assert vector is not None
    np.testing.assert_array_equal(unit_vector("x"), vector)
