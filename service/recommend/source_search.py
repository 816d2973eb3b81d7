"""Searches for the best items for several sources together, from one state of the item index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.domain.vectors import Keys, Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits, merge_hits
from service.recommend.scoring import Scorer

# Receives keys and their scores by text, float32 [keys], and returns their final scores.
Adjust = Callable[[Keys, Vectors], Vectors]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Changes scores by text.

    Attributes:
        adjust: what it does to them.
        further_keys: int64: allowed keys that may have a high score although no source is near.
    """

    adjust: Adjust
    further_keys: Keys = field(default_factory=lambda: np.empty(0, np.int64))


# Candidates for each query vector. On the films' evaluation, scoring the union of 50 for each gives
# the same result as scoring everything.
CANDIDATES_PER_SOURCE = 50

# Vectors scored at once: few enough for their similarities to 50 sources to stay in a core's cache.
MAX_BLOCK_ROWS = 4_096

# The largest difference that rounding in a matrix product makes between scores of equal vectors.
SCORE_TOLERANCE = 1e-5


def measure_deviation(scores: Vectors) -> float:
    """Return the deviation of scores, infinite if they differ by rounding alone.

    Then z-scores, which are differences over it, are 0.
    """
    deviation = float(scores.std())
    return deviation if deviation > SCORE_TOLERANCE else np.inf


def search_by_sources(
    item_index: ItemIndex,
    scorer: Scorer,
    limit: int,
    allowed: Mask,
    adjustment: Adjustment | None = None,
    *,
    exact: bool = False,
) -> Hits:
    """Return the best items for several sources together.

    If the index compares exhaustively, every allowed item is scored: that takes less time than a
    search for a single source, and half of it at 3,000 items. If the index has graphs, the items
    nearest to each source are scored.

    Args:
        item_index: the index to search.
        scorer: scores the items.
        limit: the number of hits; there are fewer only if fewer items are allowed.
        allowed: the keys that may be hits.
        adjustment: changes the scores.
        exact: score every allowed item in any case.

    Returns:
        The best keys, best first, and all that tie with the last one.
    """
    query_count = len(scorer.queries)
    scan_cost = len(item_index) * item_index.vectors.dimensions * query_count
    if exact or item_index.vectors.estimate_cost(query_count) >= scan_cost:
        scored = _score_all(item_index, scorer, allowed)
        extra_chunks = item_index.vectors.vector_count - len(item_index)
    else:
        fetch = max(CANDIDATES_PER_SOURCE, limit) * (1 if adjustment is None else 2)
        keys = _find_nearest(item_index, scorer, fetch, allowed)
        if adjustment is not None:
            keys = np.union1d(keys, adjustment.further_keys)
        scored, extra_chunks = _score_chunks(item_index, scorer, keys)
    if adjustment is not None:
        scored = [Hits(hits.keys, adjustment.adjust(*hits)) for hits in scored]
    # Every further chunk of an item may take a place.
    best = _select_best(scored, limit + extra_chunks)
    return _score_again(item_index, scorer, best, adjustment)


def score_keys(
    item_index: ItemIndex, scorer: Scorer, keys: Keys, adjustment: Adjustment | None = None
) -> Hits:
    """Return keys with their scores, each with that of its best chunk.

    Args:
        item_index: the index that has the keys.
        scorer: scores the items.
        keys: distinct keys.
        adjustment: changes the scores.
    """
    if not len(keys):
        return Hits.empty()
    owned = item_index.vectors.get(keys.tolist())
    first_chunks = np.searchsorted(owned.owners, np.arange(len(keys)))
    scores: Vectors = np.maximum.reduceat(scorer.score(owned.vectors), first_chunks)
    return Hits(keys, scores if adjustment is None else adjustment.adjust(keys, scores))


def _score_all(item_index: ItemIndex, scorer: Scorer, allowed: Mask) -> list[Hits]:
    """Return every allowed vector with its score."""
    scored = [Hits.empty()]
    for keys, vectors in item_index.vectors.iterate_blocks(MAX_BLOCK_ROWS):
        is_allowed = allowed[keys]
        if 2 * np.count_nonzero(is_allowed) < len(is_allowed):
            scores = scorer.score(vectors[is_allowed])
        else:
            # Scoring a few more vectors costs less than copying the allowed ones.
            scores = scorer.score(vectors)[is_allowed]
        scored.append(Hits(keys[is_allowed], scores))
    return scored


def _find_nearest(item_index: ItemIndex, scorer: Scorer, fetch: int, allowed: Mask) -> Keys:
    """Return the keys of each query's nearest items."""
    hits = item_index.vectors.search(scorer.queries, fetch, allowed=allowed)
    keys: Keys = np.unique(np.concatenate([query_hits.keys for query_hits in hits]))
    return keys


def _score_chunks(item_index: ItemIndex, scorer: Scorer, keys: Keys) -> tuple[list[Hits], int]:
    """Return the vectors of keys with scores, and how many are extra chunks.

    Extra chunks are all vectors of an item but one.
    """
    owned = item_index.vectors.get(keys.tolist())
    scored = Hits(keys[owned.owners], scorer.score(owned.vectors))
    return [scored], len(owned.vectors) - len(keys)


def _select_best(scored: Sequence[Hits], count: int) -> Hits:
    """Return the `count` best vectors and all that tie with the last; each key with its best."""
    keys = np.concatenate([hits.keys for hits in scored])
    scores = np.concatenate([hits.scores for hits in scored])
    if len(keys) > count:
        last_score = np.partition(scores, len(scores) - count)[len(scores) - count]
        is_best = scores >= last_score - SCORE_TOLERANCE
        keys, scores = keys[is_best], scores[is_best]
    return merge_hits([Hits(keys, scores)])


def _score_again(
    item_index: ItemIndex, scorer: Scorer, hits: Hits, adjustment: Adjustment | None
) -> Hits:
    """Return the same keys, best first, such that equal vectors have equal scores.

    A matrix product rounds a row by its position, so that equal vectors would not tie.
    """
    if not len(hits.keys):
        return hits
    owned = item_index.vectors.get(hits.keys.tolist())
    rows = owned.vectors.view(np.dtype((np.void, owned.vectors.strides[0]))).ravel()
    _, first_rows, row_numbers = np.unique(rows, return_index=True, return_inverse=True)
    scores = scorer.score(owned.vectors[first_rows])[row_numbers.ravel()]
    first_chunks = np.searchsorted(owned.owners, np.arange(len(hits.keys)))
    best_scores: Vectors = np.maximum.reduceat(scores, first_chunks)
    if adjustment is not None:
        best_scores = adjustment.adjust(hits.keys, best_scores)
    order = np.argsort(-best_scores, kind="stable")
    return Hits(hits.keys[order], best_scores[order])
