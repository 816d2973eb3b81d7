"""What the layers above ask of an index, whichever library stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.stats import IndexStats

Keys = NDArray[np.int64]
Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Hits(NamedTuple):
    """The nearest keys to one query, best first.

    There may be more than were asked for: all that tie with the last place are there, so that the
    caller, who knows the items' ids, decides which of them stay.
    """

    keys: Keys  # [hits]
    scores: Vectors  # [hits], cosine


def merged(hits: Sequence[Hits]) -> Hits:
    """The hits of several queries as one list, each key with its best score, best first."""
    keys = np.concatenate([each.keys for each in hits])
    scores = np.concatenate([each.scores for each in hits])
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(keys[order], return_index=True)
    kept = order[np.sort(first)]
    return Hits(keys[kept], scores[kept])


class Owned(NamedTuple):
    """The vectors of several keys, and for each vector the position of its key."""

    vectors: Vectors  # [vectors, dimensions]
    owners: Keys  # [vectors], ascending


class IndexState(NamedTuple):
    """What an index holds: arrays by name, and how to write each of its files."""

    arrays: Mapping[str, NDArray[Any]]
    files: Mapping[str, Callable[[Path], None]]


class VectorIndex(Protocol):
    """Unit vectors by key, one or several for each. Not for several threads at once.

    Keys are chosen by the caller, small and not negative; vectors are float32 [n, dimensions] of
    unit length. A mask says by key, in its place, whether a key may be found.
    """

    @property
    def dimensions(self) -> int:
        """The width of every vector."""

    def __len__(self) -> int:
        """How many keys it holds."""

    def __contains__(self, key: int) -> bool:
        """Whether it holds a key."""

    def keys(self) -> Keys:
        """All keys, each once, in no particular order; a copy."""

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Replaces all vectors of each key; a key comes once for each of its vectors."""

    def delete(self, keys: Collection[int]) -> None:
        """Removes keys; those that are not there are no error."""

    def vectors(self, keys: Sequence[int]) -> Owned:
        """A copy of the vectors of keys that are there, those of one key as they were upserted.

        Raises:
            KeyError: a key is not there.
        """

    def blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """All keys and vectors, `rows` at a time; not copies, so not to be kept or changed."""

    def mean(self) -> Vectors:
        """The mean of all vectors, float32 [dimensions]; zeros while it is empty."""

    def sample(self, rows: int) -> Vectors:
        """Up to `rows` vectors, evenly spread; not copies, so not to be kept or changed."""

    def search(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> list[Hits]:
        """The `limit` nearest keys to each of float32 [q, dimensions].

        A key's score is that of its best vector, and it comes once. Fewer hits come back only when
        there are fewer keys. Queries need not be of unit length;
        the scores are inner products.

        Args:
            queries: what to look for.
            limit: how many hits each may have.
            exclude: keys to leave out.
            allowed: a mask as long as the largest key demands, which nobody changes any more; None
                allows every key.
            exact: compare with every vector, where the index would else save time.
        """

    def nearest(
        self,
        key: int,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """The `limit` nearest keys to any vector of a key that is there, itself left out.

        The arguments are those of `search`; where many ask for one key it may be faster.
        """

    def cost(self, queries: int) -> int:
        """The multiply-adds a search with so many queries takes, to plan where to run it."""

    def due(self, *, quiet: bool) -> Build | None:
        """What should be built aside to keep searches fast, if anything; one at a time.

        Args:
            quiet: whether nothing is being written, so that there is time to build more.
        """

    def adopt(self, build: Build) -> None:
        """Takes in what `due` asked for, once it has run."""

    def capture(self) -> IndexState:
        """All it holds, for a snapshot; nothing in it changes any more."""

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Fills an empty index from what `capture` gave, with the files that were written.

        Raises:
            KeyError, ValueError: it is not what was captured.
        """

    def stats(self) -> IndexStats:
        """What the index is made of."""


class Build(Protocol):
    """Work for another thread; it touches nothing that searches use."""

    def run(self) -> None:
        """Builds; may take minutes."""

    def stop(self) -> None:
        """Has `run` end within a second; what it made is not to be adopted then."""
