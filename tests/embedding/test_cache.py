import numpy as np
import pytest
from support.embedders import unit_vector

from service.embedding.vector_cache import MAX_CACHE_BYTES, VectorCache


def make_cache(vectors: int) -> VectorCache:
    return VectorCache(MAX_CACHE_BYTES // 4 // vectors)


def cached_keys(cache: VectorCache, *keys: bytes) -> list[bytes]:
    return [key for key in keys if cache.get(key) is not None]


def test_a_vector_is_found_by_its_key() -> None:
    """A vector is returned for its key, and for no other key."""
    cache = VectorCache(32)
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


@pytest.mark.parametrize("dimensions", [MAX_CACHE_BYTES, 10 * MAX_CACHE_BYTES])
def test_one_vector_always_fits(dimensions: int) -> None:
    """If one vector exceeds the size of the cache, the latest one is cached."""
    cache = VectorCache(dimensions)
    cache.put(b"a", unit_vector("x"))
    cache.put(b"b", unit_vector("x"))
    assert [b"b"] == cached_keys(cache, b"a", b"b")
