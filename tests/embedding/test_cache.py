import numpy as np
import pytest
from support.embedders import unit_vector

from service.embedding.cache import MAX_CACHE_BYTES, VectorCache


def of_capacity(vectors: int) -> VectorCache:
    return VectorCache(MAX_CACHE_BYTES // 4 // vectors)


def kept(cache: VectorCache, *keys: bytes) -> list[bytes]:
    return [key for key in keys if cache.get(key) is not None]


def test_a_vector_is_found_by_its_key() -> None:
    """What was put comes back under its key, and under no other."""
    cache = VectorCache(32)
    cache.put(b"a", unit_vector("tea"))
    found = cache.get(b"a")
    assert found is not None
    np.testing.assert_array_equal(unit_vector("tea"), found)
    assert None is cache.get(b"b")


def test_the_least_recently_used_goes_first() -> None:
    """A full cache drops the vector that was neither put nor got for longest."""
    cache = of_capacity(3)
    for key in (b"a", b"b", b"c"):
        cache.put(key, unit_vector("x"))
    assert [b"a"] == kept(cache, b"a")
    cache.put(b"b", unit_vector("x"))
    cache.put(b"d", unit_vector("x"))
    assert [b"a", b"b", b"d"] == kept(cache, b"a", b"b", b"c", b"d")


def test_putting_again_takes_no_more_room() -> None:
    """A key that is put twice holds the later vector and drives nobody out."""
    cache = of_capacity(2)
    cache.put(b"a", unit_vector("x"))
    cache.put(b"b", unit_vector("x"))
    cache.put(b"b", unit_vector("y"))
    assert [b"a", b"b"] == kept(cache, b"a", b"b")
    found = cache.get(b"b")
    assert found is not None
    np.testing.assert_array_equal(unit_vector("y"), found)


@pytest.mark.parametrize("dimensions", [MAX_CACHE_BYTES, 10 * MAX_CACHE_BYTES])
def test_one_vector_always_fits(dimensions: int) -> None:
    """Even where one vector takes all the memory there is, the latest is kept."""
    cache = VectorCache(dimensions)
    cache.put(b"a", unit_vector("x"))
    cache.put(b"b", unit_vector("x"))
    assert [b"b"] == kept(cache, b"a", b"b")
