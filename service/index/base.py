"""What the layers above ask of an index, whichever library stands behind it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
Vectors = NDArray[np.float32]


class Hits(NamedTuple):
    """The nearest keys to one query, best first.

    There may be more than were asked for: all that tie with the last place are there, so that the
    caller, who knows the items' ids, decides which of them stay.
    """

    keys: Keys  # [hits]
    scores: Vectors  # [hits], cosine


class VectorIndex(Protocol):
    """Unit vectors by key. Not for several threads at once.

    Keys are int64 and chosen by the caller; vectors are float32 [n, dimensions] of unit length.
    """

    @property
    def dimensions(self) -> int:
        """The width of every vector."""

    def __len__(self) -> int:
        """How many keys it holds."""

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Sets the vector of each key; keys are distinct."""

    def delete(self, keys: Collection[int]) -> None:
        """Removes keys; those that are not there are no error."""

    def vectors(self, keys: Sequence[int]) -> Vectors:
        """The vectors of keys that are there, float32 [len(keys), dimensions].

        Raises:
            KeyError: a key is not there.
        """

    def mean(self) -> Vectors:
        """The mean of all vectors, float32 [dimensions]; zeros while it is empty."""

    def search(self, queries: Vectors, limit: int, exclude: Collection[int] = ()) -> list[Hits]:
        """The `limit` nearest keys to each of float32 [q, dimensions], leaving out `exclude`.

        Fewer hits come back only when there are fewer keys. Queries need not be of unit length;
        the scores are inner products.
        """

    def cost(self, queries: int) -> int:
        """The multiply-adds a search with so many queries takes, to plan where to run it."""
