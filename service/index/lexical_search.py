"""Searches by vectors and words together, from one state of the item index.

The score is `(1 - weight) * cosine + weight * share ** 2`. The share is between 0 and 1: how much
of the query's words, by how rare they are, the text has. Both parts mean the same in every
response, unlike ranks and z-scores. A few words in common say little, so the share is squared:
bench/README.md compares this with other ways to join the two.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from service import errors
from service.domain.filters import Filter
from service.domain.terms import count_terms
from service.domain.vectors import Keys, Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits

_Floats = TypeVar("_Floats", Vectors, np.float32)

# Candidates by vectors and by words that are scored by both at first, at least.
MIN_LEXICAL_CANDIDATES = 100

# Candidates by either that are scored by both, at most, unless the search is exact.
MAX_LEXICAL_CANDIDATES = 4_096


@dataclass(frozen=True, slots=True)
class WordQuery:
    """The words of a query.

    Attributes:
        terms: the distinct terms, in the order of the text.
        weight: how much words count, above 0 and at most 1.
    """

    terms: tuple[str, ...]
    weight: float

    def join(self, cosines: _Floats, shares: _Floats) -> _Floats:
        """Return the scores for cosines and shares, float32 of one shape."""
        weight = np.float32(self.weight)
        return (1 - weight) * cosines + weight * shares * shares


class SearchScope(NamedTuple):
    """What a search may find: keys that pass a filter and are not excluded.

    `exact` compares vectors exhaustively. `allowed` says by key what may be found, if something
    else restricts it as well.
    """

    filter: Filter | None
    excluded_keys: Collection[int]
    exact: bool = False
    allowed: Mask | None = None


class WordQueries:
    """Makes the word queries of requests.

    Args:
        default_weight: the weight if a request has none; None if words are not indexed.
    """

    def __init__(self, default_weight: float | None = None) -> None:
        self._default_weight = default_weight

    def check(self, weight: float | None) -> None:
        """Check that words of the valid weight of a request can count.

        Raises:
            HybridSearchOff: they are to count, but are not indexed.
        """
        if weight and self._default_weight is None:
            raise errors.HybridSearchOff(
                "lexical_weight requires AKIN_HYBRID=true and a catalog with an index in memory"
            )

    def make(self, text: str, weight: float | None) -> WordQuery | None:
        """Return the words of a query text, None if they do not count.

        Args:
            text: the text.
            weight: the valid weight of the request, None if it has none.

        Raises:
            HybridSearchOff: they are to count, but are not indexed.
        """
        self.check(weight)
        if self._default_weight is None:
            return None
        weight = self._default_weight if weight is None else weight
        return WordQuery(tuple(count_terms(text)), weight) if weight else None


def search_by_words(
    item_index: ItemIndex, queries: Vectors, words: WordQuery, limit: int, scope: SearchScope
) -> Hits:
    """Return the best items by vectors and words together.

    The best items by either are scored by both. No other item can have a better score than the last
    hit, or the search begins again with more of them (the threshold algorithm, Fagin et al. 2001).

    Args:
        item_index: an index with terms.
        queries: the vectors of the query's chunks, float32 [chunks, dimensions].
        words: the words of the query.
        limit: the number of hits.
        scope: what may be a hit.

    Returns:
        At least `limit` hits if as many items pass, in no particular order.
    """
    if not len(item_index):
        return Hits.empty()
    shares = score_words(item_index, words, _compute_word_mask(item_index, scope))
    word_keys = np.flatnonzero(shares)
    exclude, allowed = _restrict_vectors(item_index, scope)
    count, size = len(item_index), max(MIN_LEXICAL_CANDIDATES, 2 * limit)
    while True:
        size = min(size, count)
        hits = item_index.vectors.search(queries, size, exclude, allowed, exact=scope.exact)
        best, last_share = _select_best_words(item_index, word_keys, shares, size)
        keys = np.union1d(np.concatenate([query_hits.keys for query_hits in hits]), best)
        scored = _score_by_both(item_index, keys, queries, words, shares)
        if size == count or any(len(query_hits.keys) < size for query_hits in hits):
            return scored  # every item that passes
        last_cosine = np.max([query_hits.scores.min() for query_hits in hits])
        best_other_score = words.join(last_cosine, last_share)
        is_certain = np.count_nonzero(scored.scores >= best_other_score) >= limit
        if is_certain or (size >= MAX_LEXICAL_CANDIDATES and not scope.exact):
            return scored
        size *= 4


def _compute_word_mask(item_index: ItemIndex, scope: SearchScope) -> Mask:
    """Return by key what may be found by words."""
    if scope.allowed is not None:
        return scope.allowed
    return item_index.compute_mask(scope.filter or Filter(), scope.excluded_keys)


def _restrict_vectors(
    item_index: ItemIndex, scope: SearchScope
) -> tuple[Collection[int], Mask | None]:
    """Return the keys to exclude, and by key what may be found by vectors, None for all."""
    if scope.allowed is not None:
        return (), scope.allowed
    return item_index.restrict_search(scope.filter, scope.excluded_keys)


def score_words(item_index: ItemIndex, words: WordQuery, allowed: Mask) -> Vectors:
    """Return the shares of items by key, float32 like `allowed`; 0 for those not allowed."""
    assert item_index.terms is not None  # noqa: S101  (callers have checked the setting)
    shares = item_index.terms.score(words.terms, len(allowed))
    shares[~allowed] = 0.0
    return shares


def _score_by_both(
    item_index: ItemIndex, keys: Keys, queries: Vectors, words: WordQuery, shares: Vectors
) -> Hits:
    """Return keys with their scores, each with that of its best chunk."""
    if not len(keys):
        return Hits.empty()
    return Hits(keys, words.join(compute_cosines(item_index, keys, queries), shares[keys]))


def compute_cosines(item_index: ItemIndex, keys: Keys, queries: Vectors) -> Vectors:
    """Return the cosine of each key's best chunk with the best of the queries, float32 [keys]."""
    owned = item_index.vectors.get(keys.tolist())
    # A matrix product rounds a row by its position, so that equal vectors would not tie.
    cosines = np.einsum("ij,kj->ik", owned.vectors, queries).max(axis=1)
    first_chunks = np.searchsorted(owned.owners, np.arange(len(keys)))
    best: Vectors = np.maximum.reduceat(cosines, first_chunks)
    return best


def _select_best_words(
    item_index: ItemIndex, keys: Keys, shares: Vectors, size: int
) -> tuple[Keys, np.float32]:
    """Return the searchable ones among the best keys by words, and the best share of the rest."""
    last_share = np.float32(0.0)
    if len(keys) > size:
        order = np.argpartition(-shares[keys], size)
        last_share = np.float32(shares[keys[order[size]]])
        keys = keys[order[:size]]
    is_searchable = [key in item_index.vectors for key in keys.tolist()]
    return keys[np.array(is_searchable, np.bool_)], last_share
