"""Vectors of callers, with errors that name the field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from akin.v1 import item_pb2


def build_vector(name: str, values: object) -> item_pb2.Vector:
    """Build a vector from numbers.

    Args:
        name: the field, for errors.
        values: the numbers.

    Raises:
        TypeError: the values are not a list of numbers.
        ValueError: a number is too large.
    """
    if not _is_list(values):
        raise TypeError(f"{name} must be a list of numbers, such as [0.6, 0.8]")
    try:
        return item_pb2.Vector(values=values)
    except TypeError as exc:
        raise TypeError(f"{name} must be a list of numbers, such as [0.6, 0.8]: {exc}") from None
    except OverflowError as exc:
        raise ValueError(f"{name}: {exc}") from None


def build_vectors(vectors: object) -> Iterator[item_pb2.Vector]:
    """Build the vectors of an item; None is an empty list.

    Raises:
        TypeError: the vectors are not a list of lists of numbers.
        ValueError: a number is too large.
    """
    if vectors is None:
        return
    if not _is_list(vectors):
        raise TypeError("vectors must be a list of lists of numbers, such as [[0.6, 0.8]]")
    for number, values in enumerate(vectors):
        yield build_vector(f"vectors[{number}]", values)


def _is_list(values: object) -> TypeGuard[Iterable[Any]]:
    """Can the values be numbers or vectors, unlike characters and keys?"""
    return isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
