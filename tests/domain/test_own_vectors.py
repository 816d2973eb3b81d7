"""Vectors that callers give: their addresses, their scale and their limits."""

import numpy as np
import pytest

from service.domain.limits import OWN_VECTORS
from service.domain.own_vectors import (
    OWN_ADDRESS_BYTES,
    make_own_chunks,
    own_vectors_violations,
    own_width_violations,
)
from service.embedding.prompts import hash_text


def to_bytes(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def test_no_text_has_the_address_of_a_vector() -> None:
    """Addresses of vectors have a length that no hash of a text has, and differ by the vector."""
    chunks = make_own_chunks([to_bytes(1, 0), to_bytes(0, 1), to_bytes(1, 0)])
    first, second, third = (chunk.text_hash for chunk in chunks)
    assert first == third != second
    assert {OWN_ADDRESS_BYTES} == {len(first), len(second)}
    assert OWN_ADDRESS_BYTES != len(hash_text("any text"))


@pytest.mark.parametrize("scale", [1e-38, 1e-3, 1.0, 3.0, 1e38])
def test_vectors_have_unit_length(scale: float) -> None:
    """Vectors of any length are scaled to unit length, and keep their direction."""
    (chunk,) = make_own_chunks([to_bytes(0.6 * scale, -0.8 * scale)])
    assert chunk.vector.dtype == np.float32
    assert list(chunk.vector) == pytest.approx([0.6, -0.8], abs=1e-4)
    assert np.linalg.norm(chunk.vector.astype(float)) == pytest.approx(1, abs=1e-6)


def test_stored_vectors_keep_their_bytes() -> None:
    """A vector that is read and given again is the same one, to the bit."""
    generator = np.random.default_rng(3)
    vectors = [vector.tobytes() for vector in generator.normal(size=(200, 48)).astype("<f4")]
    chunks = make_own_chunks(vectors)
    again = make_own_chunks([chunk.vector.tobytes() for chunk in chunks])
    assert [chunk.text_hash for chunk in chunks] == [chunk.text_hash for chunk in again]


def test_each_violation_names_its_vector() -> None:
    """Vectors without meaning or of another width are named by their position."""
    vectors = [to_bytes(1, 0), to_bytes(0, 0), to_bytes(np.nan, 1), to_bytes(np.inf, 1), b""]
    assert [
        ("v[1].values", "must have a value that is not 0"),
        ("v[2].values", "must be finite numbers"),
        ("v[3].values", "must be finite numbers"),
    ] == [(each.field, each.description) for each in own_vectors_violations(vectors, "v")]
    (violation,) = own_width_violations(vectors, 2, "v")
    assert "v[4].values" == violation.field
    assert "must have 2 values" in violation.description
    too_many = [to_bytes(1, 0)] * (OWN_VECTORS + 1)
    assert ["v"] == [each.field for each in own_vectors_violations(too_many, "v")]
    assert [] == [*own_vectors_violations(too_many[1:], "v")]
