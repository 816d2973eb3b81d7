from collections.abc import Awaitable, Callable
from typing import Any

import akin
import numpy as np
import pytest
from support.recording import RecordingServer

Call = Callable[..., Awaitable[Any]]

NO_VECTORS = "vectors must be a list of lists of numbers, such as [[0.6, 0.8]]"
NO_VECTOR = "must be a list of numbers, such as [0.6, 0.8]"


@pytest.mark.parametrize(
    ("vectors", "error"),
    [
        ("abc", NO_VECTORS),
        (b"abc", NO_VECTORS),
        ({"title": [1.0]}, NO_VECTORS),
        (5, NO_VECTORS),
        ([0.6, 0.8], f"vectors[0] {NO_VECTOR}"),
        ([[1.0], None], f"vectors[1] {NO_VECTOR}"),
        ([[1.0], ["a"]], f"vectors[1] {NO_VECTOR}: must be real number, not str"),
        (["abc"], f"vectors[0] {NO_VECTOR}"),
        ([b"abc"], f"vectors[0] {NO_VECTOR}"),
        ([[[1.0]]], f"vectors[0] {NO_VECTOR}: must be real number, not list"),
    ],
)
def test_vectors_that_are_no_numbers_are_named(vectors: Any, error: str) -> None:
    """The error of an item names the field and the vector, and bytes are no numbers."""
    with pytest.raises(TypeError) as caught:
        akin.item("a", "tea", vectors=vectors)
    assert error == str(caught.value)


def test_a_number_that_is_too_large_is_named() -> None:
    """An integer that no float can hold is a wrong value of the right type."""
    with pytest.raises(ValueError, match=r"^vectors\[1\]: int too large"):
        akin.item("a", "tea", vectors=[[1], [10**400]])


def test_vectors_can_be_any_iterables_of_numbers() -> None:
    """Arrays, tuples and generators are vectors."""
    expected = akin.item("a", "tea", vectors=[[0.5, 2.0]])
    assert expected == akin.item("a", "tea", vectors=np.array([[0.5, 2.0]], np.float32))
    assert expected == akin.item("a", "tea", vectors=((value for value in (0.5, 2)),))
    assert akin.item("a", "tea") == akin.item("a", "tea", vectors=None)


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ("abc", f"vector {NO_VECTOR}"),
        (b"abc", f"vector {NO_VECTOR}"),
        (5, f"vector {NO_VECTOR}"),
        ([[0.6, 0.8]], f"vector {NO_VECTOR}: must be real number, not list"),
    ],
)
async def test_a_source_that_is_no_vector_is_named(call: Call, vector: Any, error: str) -> None:
    """A call with a wrong vector raises an error that names the field before it is sent."""
    with RecordingServer() as server:
        with pytest.raises(TypeError) as caught:
            await call(server.address, "recommend_similar", vector=vector)
        assert [] == server.requests
    assert error == str(caught.value)
