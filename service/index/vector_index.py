"""Ports of a vector index: what searches ask of it, and what its maintenance asks of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.index_stats import IndexStats
from service.domain.vectors import Keys, Mask, Vectors

# Vectors of a key that search for others, at most: it bounds the work of one search.
MAX_KEY_QUERIES = 256


class Hits(NamedTuple):
    """The nearest keys to one query, best first.

    There may be more than the limit: all keys that tie with the last place are included, so that
    the caller, who knows the item ids, decides which of them to keep.
    """

    keys: Keys  # [hits]
    scores: Vectors  # [hits], cosine

    @classmethod
    def empty(cls) -> Hits:
        """Return no hits."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32))


def merge_hits(hits: Sequence[Hits]) -> Hits:
    """Return the hits of several queries as one list: each key once, with its best score."""
    keys = np.concatenate([query_hits.keys for query_hits in hits])
    scores = np.concatenate([query_hits.scores for query_hits in hits])
    order = np.argsort(-scores, kind="stable")
    _, first_places = np.unique(keys[order], return_index=True)
    best = order[np.sort(first_places)]
    return Hits(keys[best], scores[best])


def combine_segment_hits(hits: Sequence[Hits], limit: int) -> Hits:
    """Return the best hits of several segments with all that tie with the last place."""
    keys = np.concatenate([segment_hits.keys for segment_hits in hits])
    scores = np.concatenate([segment_hits.scores for segment_hits in hits])
    order = np.argsort(-scores, kind="stable")
    keys, scores = keys[order], scores[order]
    if 0 < limit < len(scores):
        reaches_last = scores >= scores[limit - 1]
        keys, scores = keys[reaches_last], scores[reaches_last]
    return Hits(keys, scores)


def select_queries(vectors: Vectors) -> Vectors:
    """Return those of a key's vectors that search: evenly spread ones if there are too many."""
    if len(vectors) <= MAX_KEY_QUERIES:
        return vectors
    selected: Vectors = vectors[np.linspace(0, len(vectors) - 1, MAX_KEY_QUERIES).astype(int)]
    return selected


class OwnedVectors(NamedTuple):
    """The vectors of several keys, and for each vector the position of the key that owns it."""

    vectors: Vectors  # [vectors, dimensions]
    owners: Keys  # [vectors], ascending


class StateFile(NamedTuple):
    """A file of an index: about how large it will be, and the function that writes it."""

    size_bytes: int
    write: Callable[[Path], None]


class IndexState(NamedTuple):
    """The content of an index: arrays and files by name."""

    arrays: Mapping[str, NDArray[Any]]
    files: Mapping[str, StateFile]


class Build(Protocol):
    """Building work for another thread; it touches nothing that searches use."""

    @property
    def rows(self) -> int:
        """The number of vectors that it links, or whose neighbors it lists."""

    def run(self) -> None:
        """Build; this may take minutes."""

    def stop(self) -> None:
        """Make `run` return within a second; its result must not be used then."""


class VectorSearch(Protocol):
    """Searches among unit vectors by key; a key has one or several. Not thread-safe.

    Keys are small non-negative integers. A mask is indexed by key: True means that the key may be
    a hit. It is at least as long as the largest key requires.
    """

    @property
    def dimensions(self) -> int:
        """The width of every vector."""

    @property
    def vector_count(self) -> int:
        """The number of vectors; at least the number of keys."""

    def __len__(self) -> int:
        """Return the number of keys."""

    def __contains__(self, key: int) -> bool:
        """Return whether the index has a key."""

    def keys(self) -> Keys:
        """Return a copy of all keys, each once, in no particular order."""

    def get(self, keys: Sequence[int]) -> OwnedVectors:
        """Return a copy of the keys' vectors; those of one key in the order of its upsert.

        Raises:
            KeyError: a key is not in the index.
        """

    def has_vectors(self, key: int, vectors: Vectors) -> bool:
        """Return whether a key has these vectors in this order, as precisely as they are kept.

        Args:
            key: a key, also one that is not in the index.
            vectors: float32 [vectors, dimensions].
        """

    def iterate_blocks(self, rows: int) -> Iterator[tuple[Keys, Vectors]]:
        """Yield all keys and vectors, up to `rows` at a time.

        The arrays are not copies: do not change them, nor use them after the next write.
        """

    def mean(self) -> Vectors:
        """Return the mean of all vectors, float32 [dimensions]; zeros for an empty index."""

    def search(
        self,
        queries: Vectors,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> list[Hits]:
        """Return the `limit` nearest keys to each query.

        A key's score is that of its best vector, and a key occurs once. There are fewer hits than
        `limit` only if there are fewer keys. Queries need not have unit length; the scores are
        inner products.

        Args:
            queries: float32 [queries, dimensions].
            limit: the number of hits for each query.
            exclude: keys to leave out.
            allowed: a mask that nobody changes any more; None allows every key.
            exact: compare with every vector instead of saving time.
        """

    def search_by_key(
        self,
        key: int,
        limit: int,
        exclude: Collection[int] = (),
        allowed: Mask | None = None,
        *,
        exact: bool = False,
    ) -> Hits:
        """Return the `limit` nearest other keys to any vector of a key.

        Of many vectors, those that `select_queries` returns are compared at least.
        The arguments are those of `search`. It may be faster than a search for the key's vectors.

        Raises:
            KeyError: the key is not in the index.
        """

    def estimate_cost(self, queries: int) -> int:
        """Estimate the multiply-adds of a search with a number of queries."""


class VectorMaintenance(Protocol):
    """Writes to an index, builds that keep its searches fast, and its snapshots."""

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Replace all vectors of each key; a key occurs once for each of its vectors.

        Args:
            keys: [vectors].
            vectors: float32 [vectors, dimensions], unit length.
        """

    def delete(self, keys: Collection[int]) -> None:
        """Remove keys; a key that is not in the index is no error."""

    def start_build(self, *, quiet: bool) -> Build | None:
        """Start the build that is needed most to keep searches fast; None if none is needed.

        The caller runs it in another thread and passes it to `finish_build`; there is one at a
        time.

        Args:
            quiet: nothing is being written, so that there is time to build more.
        """

    def finish_build(self, build: Build) -> None:
        """Put the result of a build that `start_build` returned and that has run into use."""

    def cancel_build(self, build: Build) -> None:
        """Forget a build that `start_build` returned and that will not be finished."""

    def capture(self) -> IndexState:
        """Return the whole content for a snapshot; later writes do not change it."""

    def restore(self, state: IndexState, files: Mapping[str, Path]) -> None:
        """Fill an empty index from a captured state and the files that were written for it.

        Raises:
            KeyError: an array or a file is missing.
            ValueError: the arrays and files do not belong together.
        """

    def collect_stats(self) -> IndexStats:
        """Return the numbers of vectors by where they are, and the memory they take."""


class VectorIndex(VectorSearch, VectorMaintenance, Protocol):
    """An index as its adapters implement it: both ports over the same vectors."""
